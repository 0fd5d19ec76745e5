// Writes a user and its event as Tandem does: two rows in one transaction, in tables beside Tandem's.
import { randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";
import pg from "pg";

const PARTITIONS = 8;
const USER = `insert into peer_users (id, name, email, email_key, version, created_at, updated_at)
  values ($1, $2, $3, $4, 1, $5, $5)`;
const EVENT = `insert into peer_events (partition, user_id, version, type, schema, data, metadata, occurred_at)
  values ($1, $2, 1, 'UserCreated', 1, $3, $4, $5)`;
const BOTH = `with written as (
    insert into peer_users (id, name, email, email_key, version, created_at, updated_at)
    values ($1, $2, $3, $4, 1, $8, $8) returning id
  )
  insert into peer_events (partition, user_id, version, type, schema, data, metadata, occurred_at)
  select $5, id, 1, 'UserCreated', 1, $6, $7, $8 from written`;

const LOAD = "select name, email, version from peer_users where id = $1";
const LOAD_ORDER = `select o.status, o.total, u.id as user_id, u.version
  from peer_orders o join peer_users u on u.id = o.user_id where o.id = $1`;
const eventOf = (type) => `insert into peer_events
    (partition, user_id, version, type, schema, data, metadata, occurred_at)
  select $5, id, version, '${type}', 1, $6, $7, updated_at from written returning version`;
const WRITTEN = `with written as (
    update peer_users set version = $2 + 1, updated_at = $8 where id = $1 and version = $2
    returning id, version, updated_at
  )`;
const PLACE = `${WRITTEN}, placed as (
    insert into peer_orders (id, user_id, status, total, placed_at)
    select $3, id, 'OPEN', $4, updated_at from written
  ) ${eventOf("OrderPlaced")}`;
const COMPLETE = `${WRITTEN}, completed as (
    update peer_orders o set status = 'COMPLETED', closed_at = w.updated_at
    from written w where o.id = $3 and o.total = $4 and o.user_id = w.id
  ) ${eventOf("OrderCompleted")}`;

// RFC 9562, version 7: milliseconds, then chance.
const newId = () => {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Date.now(), 0, 6);
  bytes[6] = 0x70 | (bytes[6] & 0x0f);
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  const hex = bytes.toString("hex");
  const id = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
  return { id, partition: crc32(bytes) % PARTITIONS };
};

const partitionOf = (id) => crc32(Buffer.from(id.replaceAll("-", ""), "hex")) % PARTITIONS;

const minorUnits = (total) => {
  if (!/^\d{1,15}(\.\d{1,2})?$/.test(total)) throw new Error("This is not an amount of money.");
  return Math.round(Number(total) * 100);
};

const accept = ({ name, email }) => {
  const trimmed = name.trim();
  if (!trimmed || trimmed.length > 100) throw new Error("The name has 1 to 100 characters.");
  if (!/^[^@\s]+@[^@\s]+\.[^@\s]+$/.test(email)) throw new Error("This is not an e-mail address.");
  return { name: trimmed, email };
};

const inOneStatement = (pool, { id, partition, name, email, data, metadata, now }) =>
  pool.query({
    name: "create-user",
    text: BOTH,
    values: [id, name, email, email.toLowerCase(), partition, data, metadata, now],
  });

const stepByStep = async (pool, { id, partition, name, email, data, metadata, now }) => {
  const client = await pool.connect();
  try {
    await client.query("BEGIN");
    await client.query({ name: "user", text: USER, values: [id, name, email, email.toLowerCase(), now] });
    await client.query({ name: "event", text: EVENT, values: [partition, id, data, metadata, now] });
    await client.query("COMMIT");
  } catch (error) {
    await client.query("ROLLBACK");
    throw error;
  } finally {
    client.release();
  }
};

// `steps`: BEGIN, two inserts and COMMIT, as the manual of pg shows it, instead of one statement.
export const writeModel = (connectionString, { steps }) => {
  const pool = new pg.Pool({ connectionString, max: 10 });
  const write = steps ? stepByStep : inOneStatement;
  const createUser = async (input) => {
    const { name, email } = accept(input);
    const { id, partition } = newId();
    const data = JSON.stringify({ name, email });
    const metadata = JSON.stringify({ command: "CreateUser", commandId: newId().id });
    await write(pool, { id, partition, name, email, data, metadata, now: new Date() });
    return { id, version: 1 };
  };

  // One statement as well, guarded by the version that was read; it starts again if another was faster.
  const change = async (command, name, text, load) => {
    for (;;) {
      const { userId, orderId, version, total } = await load();
      const data = JSON.stringify({ order_id: orderId, total });
      const metadata = JSON.stringify({ command, commandId: newId().id });
      const values = [userId, version, orderId, total, partitionOf(userId), data, metadata, new Date()];
      const { rows } = await pool.query({ name, text, values });
      if (rows.length) return { id: orderId, version: rows[0].version };
    }
  };
  const found = async (name, text, id) => {
    const { rows } = await pool.query({ name, text, values: [id] });
    if (!rows.length) throw new Error("Not found.");
    return rows[0];
  };

  const placeOrder = ({ userId, total }) => {
    const [{ id: orderId }, minor] = [newId(), minorUnits(total)];
    return change("PlaceOrder", "place-order", PLACE, async () => {
      const { version } = await found("load", LOAD, userId);
      return { userId, orderId, version, total: minor };
    });
  };
  const completeOrder = ({ orderId }) =>
    change("CompleteOrder", "complete-order", COMPLETE, async () => {
      const { status, total, user_id: userId, version } = await found("load-order", LOAD_ORDER, orderId);
      if (status !== "OPEN") throw new Error("The order is not open.");
      return { userId, orderId, version, total: Number(total) };
    });
  return { createUser, placeOrder, completeOrder };
};
