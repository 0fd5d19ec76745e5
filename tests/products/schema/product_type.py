"""The GraphQL type Product."""

from typing import Self

import strawberry

from api.resolvers.nodes import Node
from api.resolvers.scalars import DateTime, Money
from domain.value_parsing import format_money
from tests.products.projections.products import ProductRow


@strawberry.type(description="A product.")
class Product(Node):
    id: strawberry.ID = strawberry.field(description="The product's id, a UUID.")
    sku: str = strawberry.field(description="The stock keeping unit.")
    name: str = strawberry.field(description="What the product is called.")
    price: Money = strawberry.field(description="What the product costs.")
    version: int = strawberry.field(description="Grows by one with every change of the product.")
    discontinued_at: DateTime | None = strawberry.field(
        description="When it was discontinued, if it was."
    )

    @classmethod
    def from_row(cls, row: ProductRow) -> Self:
        discontinued_at = row.discontinued_at
        return cls(
            id=strawberry.ID(row.id),
            sku=row.sku,
            name=row.name,
            price=Money(format_money(row.price)),
            version=row.version,
            discontinued_at=None if discontinued_at is None else DateTime(discontinued_at),
        )
