// A service written from docs/protocol.md alone, in JSON, over MQTT.js. Prints the reply to one request and ends.

const { randomBytes } = require("node:crypto");
const mqtt = require("mqtt");

const [host, port, transport, version, service, key, root] = process.argv.slice(2);
const address = transport === "ws" ? `ws://${host}:${port}/mqtt` : `mqtt://${host}:${port}`;
const client = mqtt.connect(address, {
  username: service,
  password: key,
  protocolVersion: version === "5" ? 5 : 4,
  reconnectPeriod: 0,
});

function fail(problem) {
  console.error(String(problem));
  process.exit(1);
}

client.on("error", fail);
client.on("message", (_topic, payload) => {
  console.log(payload.toString());
  client.end();
});
client.on("connect", async () => {
  try {
    await client.subscribeAsync(`service/${service}/reply`);
    const request = {
      request: randomBytes(16).toString("hex"),
      root,
      demand: { subtype: "receive" },
      account: null,
      timeout_ms: 20000,
    };
    await client.publishAsync(`service/${service}/request`, JSON.stringify(request), { qos: 1 });
  } catch (problem) {
    fail(problem);
  }
});
