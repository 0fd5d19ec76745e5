// What both node peers are told by their environment: the stores that Tandem has, and where to listen.
import Redis from "ioredis";
import { readModel } from "./reading.mjs";
import { writeModel } from "./writing.mjs";

const { HOST, PORT, REDIS_SOCKET, PREFIXES, DATABASE_URL, WRITE } = process.env;

export const address = { host: HOST, port: Number(PORT) };
export const reading = readModel(REDIS_SOCKET, JSON.parse(PREFIXES));
export const writing = writeModel(DATABASE_URL, { steps: WRITE === "steps" });

// Calls back with the id of each user that Tandem's projector says has changed.
export const emitted = async (callback) => {
  const listening = new Redis({ path: REDIS_SOCKET });
  listening.on("pmessage", (_, channel) => callback(channel.split(":").at(-1)));
  await listening.psubscribe("tandem:*:changed:*");
};
