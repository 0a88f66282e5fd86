"""A worker written from docs/protocol.md alone, in JSON, over Eclipse Paho. Prints each verdict as a line."""

import argparse
import base64
import hashlib
import json

import paho.mqtt.client as mqtt

arguments = argparse.ArgumentParser()
for name in ("host", "port", "transport", "version", "address", "secret"):
    arguments.add_argument(name)
given = arguments.parse_args()

identity = hashlib.blake2b(b"dpow-worker" + bytes.fromhex(given.secret), digest_size=16).digest()
worker = base64.b32encode(identity).decode().lower().rstrip("=")
last_sequence = 0


def difficulty(root, nonce):
    digest = hashlib.blake2b(nonce.to_bytes(8, "little") + root, digest_size=8).digest()
    return int.from_bytes(digest, "little")


def solve(root, threshold):
    nonce = 0
    while difficulty(root, nonce) < threshold:
        nonce += 1
    return nonce


def on_connect(client, _data, _flags, reason, _properties):
    if reason.is_failure:
        raise SystemExit(f"refused: {reason}")
    client.subscribe([(f"work/request/{worker}", 0), (f"work/verdict/{worker}", 0)])


def on_subscribe(client, _data, _id, reasons, _properties):
    if any(reason.is_failure for reason in reasons):
        raise SystemExit(f"not subscribed: {reasons}")
    hello = {
        "software": "paho worker",
        "devices": [],
        "hashes_per_second": 100_000,
        "capacity": 8,
        "threshold_max": "ffffffffffffffff",
        "precache": True,
    }
    client.publish(f"worker/{worker}/hello", json.dumps(hello), qos=1)


def on_message(client, _data, message):
    global last_sequence
    content = json.loads(message.payload)
    if message.topic.startswith("work/verdict/"):
        print(json.dumps(content), flush=True)
        return
    if content["sequence"] <= last_sequence:
        return
    last_sequence = content["sequence"]
    for job in content["jobs"]:
        nonce = solve(bytes.fromhex(job["root"]), int(job["threshold"], 16))
        result = {"job": job["job"], "root": job["root"], "nonce": f"{nonce:016x}"}
        client.publish(f"work/result/{worker}", json.dumps(result), qos=1)


client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2,
    client_id=worker,
    protocol=mqtt.MQTTv5 if given.version == "5" else mqtt.MQTTv311,
    transport="websockets" if given.transport == "ws" else "tcp",
)
if given.transport == "ws":
    client.ws_set_options(path="/mqtt")
client.username_pw_set(given.address, given.secret)
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_message = on_message
client.connect(given.host, int(given.port), keepalive=30)
client.loop_forever()
