"""A wallet on nanopy, which knows nothing of DPoW: it has been given a URL where it expects a node's.

usage: wallet.py URL call METHOD ARGUMENTS    calls a method of nanopy's RPC with arguments in JSON, and prints the reply
       wallet.py URL spend RECEIVE SEND       opens an account and sends from it; the two thresholds are the network's
"""

import json
import sys

from nanopy import Account, deterministic_key, ext
from nanopy.rpc import HTTP

# Stands where the work will be: nanopy computes it itself when there is none. No root below is met by it.
NO_WORK = "0" * 16
AMOUNT = 10**30


def work_for(rpc, root, block, threshold, **more):
    """Work from the network, judged by nanopy's own hash and by the network's work_validate; the block gets it."""
    reply = rpc.work_generate(root, use_peers=True, account=str(block.acc), block=block.dict_, **more)
    if "error" in reply:
        sys.exit(reply["error"])
    block.work = reply["work"]
    return {
        "root": root,
        "reply": reply,
        "is_valid_by_nanopy": bool(ext.work_validate(int(block.work, 16), bytes.fromhex(root), int(threshold, 16))),
        "validated": rpc.work_validate(block.work, root, difficulty=threshold),
        # Asked once more with the block that has its work now.
        "again": rpc.work_generate(root, difficulty=threshold, block=block.dict_),
    }


def spend(rpc, receive_threshold, send_threshold):
    account = Account(sk=deterministic_key("00" * 32, 2))
    other = Account(sk=deterministic_key("00" * 32, 1))
    opening = account.receive("AB" * 32, AMOUNT, work=NO_WORK)
    # The block says that it opens the account, so nothing needs to say how hard its work is.
    yield work_for(rpc, account.pk, opening, receive_threshold)
    # From here on the wallet says how hard: once as a threshold, once as a ratio to a send's.
    sending = account.send(other, 1, work=NO_WORK)
    yield work_for(rpc, opening.hash_, sending, send_threshold, difficulty=send_threshold)
    changing = account.change_rep(other, work=NO_WORK)
    yield work_for(rpc, sending.hash_, changing, send_threshold, multiplier=1)


def main(url, command, *arguments):
    rpc = HTTP(url=url)
    if command == "call":
        method, members = arguments
        print(json.dumps(getattr(rpc, method)(**json.loads(members))))
    else:
        for step in spend(rpc, *arguments):
            print(json.dumps(step))


main(*sys.argv[1:])
