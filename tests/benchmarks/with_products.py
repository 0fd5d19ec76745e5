"""`python -m tests.benchmarks.with_products ROLE`: a process of Tandem that has a second aggregate."""

from __future__ import annotations

from tests.products.install import install

if __name__ == "__main__":
    install()
    from api.cli import main  # here: what it imports reads the registries

    main()
