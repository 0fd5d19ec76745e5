"""The subscription of products."""

from collections.abc import AsyncGenerator

import strawberry

from api.resolvers import fields
from api.resolvers.changes import changes_of
from api.resolvers.context import Info
from api.resolvers.query_arguments import AfterVersion, check_version, parse_id_argument
from tests.products.domain.aggregate import PRODUCT
from tests.products.projections import products
from tests.products.schema.product_type import Product
from tests.products.schema.queries import ProductIdArgument


@strawberry.type
class Subscription:
    @fields.subscription(
        description="A product as it is now, and again after each change.",
        scope=PRODUCT.scope("read"),
    )
    def product_changed(
        self, info: Info, product_id: ProductIdArgument, after_version: AfterVersion = None
    ) -> AsyncGenerator[Product, None]:
        after = check_version("afterVersion", after_version)
        rows = products.changes(info.context.read_model, parse_id_argument(product_id), after)
        return changes_of(Product, rows)
