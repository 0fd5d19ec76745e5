"""The mutations of products."""

import strawberry

from api.resolvers.command_mutation import (
    IdempotentInput,
    InputParser,
    VersionedInput,
    command_mutation,
)
from api.resolvers.scalars import Money
from domain.ids import new_id
from domain.refusal import VersionConflict
from domain.value_parsing import Invalid, parse_money, require_printable
from tests.products.domain.commands import ChangePrice, CreateProduct, DiscontinueProduct
from tests.products.domain.events import ProductId
from tests.products.domain.refusals import ProductIsDiscontinued, ProductNotFound, SkuTaken
from tests.products.schema.payload import ProductPayload


@strawberry.input(description="The product to create.")
class CreateProductInput(IdempotentInput):
    sku: str = strawberry.field(description="The stock keeping unit.")
    name: str = strawberry.field(description="What the product is called.")
    price: Money = strawberry.field(description="What the product costs.")


@strawberry.input
class ProductCommandInput(VersionedInput):
    """Fields of the input of every command on a product."""

    product_id: strawberry.ID = strawberry.field(description="The product's id.")

    def parse_product_id(self, parse: InputParser) -> ProductId:
        return ProductId(parse.id("productId", self.product_id))


@strawberry.input(description="The product, and its price.")
class ChangePriceInput(ProductCommandInput):
    price: Money = strawberry.field(description="What the product costs.")


@strawberry.input(description="The product to discontinue.")
class DiscontinueProductInput(ProductCommandInput):
    pass


def parse_label(text: str) -> str:
    if not text.strip():
        raise Invalid("This is empty; enter at least one visible character.")
    return require_printable(text.strip(), "text")


@command_mutation(ProductPayload, CreateProductInput, "Creates a product.", refusals=[SkuTaken])
def create_product(given: CreateProductInput, parse: InputParser) -> CreateProduct:
    return CreateProduct(
        product_id=ProductId(new_id()),
        sku=parse("sku", given.sku, parse_label),
        name=parse("name", given.name, parse_label),
        price=parse("price", given.price, parse_money),
        idempotency_key=parse.idempotency_key(given),
    )


@command_mutation(
    ProductPayload,
    ChangePriceInput,
    "Changes the price of a product.",
    refusals=[ProductNotFound, ProductIsDiscontinued, VersionConflict],
)
def change_price(given: ChangePriceInput, parse: InputParser) -> ChangePrice:
    return ChangePrice(
        product_id=given.parse_product_id(parse),
        price=parse("price", given.price, parse_money),
        expected_version=given.expected_version,
        idempotency_key=parse.idempotency_key(given),
    )


@command_mutation(
    ProductPayload,
    DiscontinueProductInput,
    "Discontinues a product.",
    refusals=[ProductNotFound, VersionConflict],
)
def discontinue_product(given: DiscontinueProductInput, parse: InputParser) -> DiscontinueProduct:
    return DiscontinueProduct(
        product_id=given.parse_product_id(parse),
        expected_version=given.expected_version,
        idempotency_key=parse.idempotency_key(given),
    )


@strawberry.type
class Mutation:
    create_product = create_product
    change_price = change_price
    discontinue_product = discontinue_product
