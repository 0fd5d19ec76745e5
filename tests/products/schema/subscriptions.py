"""The subscription of products."""

from collections.abc import AsyncGenerator

import strawberry

from api.resolvers import fields
from api.resolvers.changes import changes_of
from api.resolvers.context import Info
from api.resolvers.query_arguments import AfterVersion, MinVersion
from tests.products.domain.aggregate import PRODUCT
from tests.products.domain.refusals import ProductNotFound
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
        self,
        info: Info,
        product_id: ProductIdArgument,
        after_version: AfterVersion = None,
        min_version: MinVersion = None,
    ) -> AsyncGenerator[Product, None]:
        return changes_of(
            Product,
            products.changes,
            info,
            product_id,
            after=after_version,
            min_version=min_version,
            missing=ProductNotFound,
        )
