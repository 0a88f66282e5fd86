"""A service written from docs/protocol.md alone, in JSON, over Eclipse Paho. Prints the reply to one request and ends."""

import argparse
import json
import secrets

import paho.mqtt.client as mqtt

arguments = argparse.ArgumentParser()
for name in ("host", "port", "transport", "version", "service", "key", "root"):
    arguments.add_argument(name)
given = arguments.parse_args()


def on_connect(client, _data, _flags, reason, _properties):
    if reason.is_failure:
        raise SystemExit(f"refused: {reason}")
    client.subscribe(f"service/{given.service}/reply")


def on_subscribe(client, _data, _id, reasons, _properties):
    if any(reason.is_failure for reason in reasons):
        raise SystemExit(f"not subscribed: {reasons}")
    request = {
        "request": secrets.token_hex(16),
        "root": given.root,
        "demand": {"subtype": "receive"},
        "account": None,
        "timeout_ms": 20_000,
    }
    client.publish(f"service/{given.service}/request", json.dumps(request), qos=1)


def on_message(client, _data, message):
    print(message.payload.decode(), flush=True)
    client.disconnect()


client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2,
    protocol=mqtt.MQTTv5 if given.version == "5" else mqtt.MQTTv311,
    transport="websockets" if given.transport == "ws" else "tcp",
)
if given.transport == "ws":
    client.ws_set_options(path="/mqtt")
client.username_pw_set(given.service, given.key)
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_message = on_message
client.connect(given.host, int(given.port), keepalive=30)
client.loop_forever()
