"""The GraphQL schema of products."""

from api.resolvers.nodes import NodeType
from tests.products.domain.aggregate import PRODUCT
from tests.products.projections import products
from tests.products.schema.mutations import Mutation
from tests.products.schema.product_type import Product
from tests.products.schema.queries import Query
from tests.products.schema.subscriptions import Subscription

__all__ = ["NODES", "Mutation", "Query", "Subscription"]

NODES = [NodeType(Product, PRODUCT, products.find)]
