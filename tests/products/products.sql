-- The table of products: the state of each, as its events add up to it.

create table products (
    id uuid primary key,
    version integer not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    erased_at timestamptz,
    secret uuid,
    sku text not null,
    name text not null,
    price bigint not null check (price > 0), -- minor units
    discontinued_at timestamptz,
    constraint products_sku_key unique (sku)
);
