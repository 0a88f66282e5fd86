"""What schemathesis asks for when it follows links: work that is wanted in earnest, and that nobody waits for."""

import schemathesis


@schemathesis.hook
def map_body(context, body):
    operation = context.operation
    if operation is None or operation.label != "POST /v1/work" or not isinstance(body, dict):
        return body
    root = body.get("root")
    return {"root": root if isinstance(root, str) else "00" * 32, "async": True}
