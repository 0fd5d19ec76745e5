"""The payload of commands on products."""

from api.resolvers.payload_type import payload_of
from tests.products.domain.aggregate import PRODUCT
from tests.products.projections import products
from tests.products.schema.product_type import Product

ProductPayload = payload_of(PRODUCT, Product, products.fetch)
