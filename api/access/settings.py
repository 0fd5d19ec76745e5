"""The settings that say who may come in, and what is shown to whom."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode


def _listed(text: object) -> object:
    return tuple(text.replace(",", " ").split()) if isinstance(text, str) else text


Names = Annotated[tuple[str, ...] | None, NoDecode, BeforeValidator(_listed)]
"""In the environment: names with commas or spaces between them."""


class AccessSettings(BaseSettings):
    tandem_env: Literal["development", "production"] = Field(
        default="development", description="`production` turns GraphiQL off by default."
    )
    graphiql: bool | None = Field(
        default=None, description="Whether browsers get GraphiQL; by default as TANDEM_ENV says."
    )
    allow_anonymous: bool = Field(
        default=False,
        description="Listen beyond this machine although everybody may do everything.",
    )
    allowed_origins: Names = Field(
        default=None,
        description="Other origins whose pages may ask us (CORS, WebSocket), such as https://app.example.com.",
    )

    @field_validator("allowed_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for origin in origins or ():
            if not _is_origin(origin):
                raise ValueError("an origin is https://host or https://host:port, in lower case")
        return origins

    @property
    def shows_graphiql(self) -> bool:
        return self.tandem_env != "production" if self.graphiql is None else self.graphiql


def _is_origin(text: str) -> bool:
    parts = urlsplit(text)
    return (
        text == text.lower()
        and parts.scheme in {"http", "https"}
        and text == f"{parts.scheme}://{parts.netloc}"
        and bool(parts.hostname)
        and not set(parts.netloc) & set("*@")
    )
