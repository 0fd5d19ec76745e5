"""Documents: parsed, validated and cached by text or by query template; and trusted documents."""
