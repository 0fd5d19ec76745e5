"""The queries of products."""

from typing import Annotated

import strawberry

from api.engine.cost.directives import SCATTERED, SLICED
from api.resolvers import fields
from api.resolvers.context import Info
from api.resolvers.pagination import First, page_size
from api.resolvers.query_arguments import MinVersion, check_version, parse_id_argument
from readside.queries.page_request import PageRequest
from tests.products.domain.aggregate import PRODUCT
from tests.products.projections import product_list, products
from tests.products.schema.product_type import Product

_READ = PRODUCT.scope("read")

ProductIdArgument = Annotated[
    strawberry.ID, strawberry.argument(name="id", description="The product's id.")
]


@strawberry.type
class Query:
    @fields.field("The product with this id; null if it does not exist.", scope=_READ)
    async def product(
        self, info: Info, product_id: ProductIdArgument, min_version: MinVersion = None
    ) -> Product | None:
        parsed_id = parse_id_argument(product_id)
        version = check_version("minVersion", min_version) or 0
        row = await products.fetch(info.context.read_model, parsed_id, min_version=version)
        return None if row is None else Product.from_row(row)

    @fields.field("The newest products, newest first.", SLICED, SCATTERED, scope=_READ)
    async def products(self, info: Info, first: First = 20) -> list[Product]:
        read_model = info.context.read_model
        page = await product_list.page(read_model, PageRequest(page_size(info, first)))
        rows = await products.fetch_many(read_model, page.ids)
        return [Product.from_row(row) for row in rows]
