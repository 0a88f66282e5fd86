"""Keeps the books of a run from outside: what services wanted, what they were told, and what the ledger's journal makes of it.

Reads one JSON object a line on standard input; each has one member:

    want    {service, request, root, threshold, free}: written down before it is asked for; `free`: it has been paid for before
    told    {service, request, work, charged_mc}: the answer that came
    judge   {journal, granted, balances}: the journal's file (as `dpow credit journal --json` prints it); by service, what it was
            given and what it has left, in millicredits

At `judge` it compares, prints a line `wrong: ...` for whatever does not fit and at last a summary as a JSON object, and ends: with
exit code 0 if all is right, else with 1. It shares no code with the programs under test; BLAKE2b is Python's own.
"""

import hashlib
import json
import sys
from collections import Counter, defaultdict


def difficulty(root, nonce):
    hashed = bytes.fromhex(nonce)[::-1] + bytes.fromhex(root)
    return int.from_bytes(hashlib.blake2b(hashed, digest_size=8).digest(), "little")


class Books:
    def __init__(self):
        self.wanted = {}
        self.told = defaultdict(list)
        self.wrong = []

    def want(self, service, request, root, threshold, free):
        known = self.wanted.setdefault((service, request), (root, threshold, free))
        if known != (root, threshold, free):
            self.wrong.append(f"{service} has used the request id {request} twice")

    def tell(self, service, request, work, charged_mc):
        self.told[service, request].append((work, charged_mc))

    def judge(self, journal, granted, balances):
        with open(journal, encoding="utf-8") as lines:
            postings = [json.loads(line)["posting"] for line in lines]
        settled = self.settlements(postings)
        self.compare_grants(postings, granted)
        self.compare_answers(settled)
        self.compare_settlements(settled)
        for service, given in granted.items():
            spent = sum(amount for (payer, _), sales in settled.items() if payer == service for _, amount in sales)
            if given - spent != balances[service]:
                self.wrong.append(f"{service} has {balances[service]} mc, but was given {given} and charged {spent}")
        return self.summary(settled)

    def settlements(self, postings):
        """Every charge that the journal has: by service and root, the nonces and amounts."""
        transfers = {}
        for posting in postings:
            if posting["kind"] == "grant":
                continue
            service = posting["debit"].split(":")[1]
            work = posting["work"]
            key = (service, work["root"], work["nonce"])
            known, amount = transfers.setdefault(posting["transfer"], (key, 0))
            if known != key:
                self.wrong.append(f"transfer {posting['transfer']} is of two works")
            transfers[posting["transfer"]] = (key, amount + posting["amount"])
        settled = defaultdict(list)
        for (service, root, nonce), amount in transfers.values():
            settled[service, root].append((nonce, amount))
        return settled

    def compare_grants(self, postings, granted):
        given = Counter()
        for posting in postings:
            if posting["kind"] == "grant":
                given[posting["credit"].split(":")[1]] += posting["amount"]
        if given != Counter(granted):
            self.wrong.append(f"the journal grants {dict(given)}, but {granted} was granted")

    def compare_answers(self, settled):
        """Every want has an answer, every answer is work, and every charge that was told stands in the journal."""
        for key, (root, threshold, free) in self.wanted.items():
            service, request = key
            if not self.told[key]:
                self.wrong.append(f"{service} was never answered for {root} ({request})")
            for work, charged in self.told[key]:
                if difficulty(root, work) < int(threshold, 16):
                    self.wrong.append(f"{service} was given {work} for {root}, which is no work at {threshold}")
                if free and charged:
                    self.wrong.append(f"{service} was charged {charged} mc again for {root}")
                if charged and (work, charged) not in settled[service, root]:
                    self.wrong.append(f"{service} was told a charge of {charged} mc for {root}, which was lost")
        for service, request in self.told.keys() - self.wanted.keys():
            self.wrong.append(f"{service} was answered {request}, which it had not asked for")

    def compare_settlements(self, settled):
        """Nobody has paid twice for a root, or for one it did not want, or without ever having been told of the work."""
        answers, payers = defaultdict(list), defaultdict(set)
        for (service, request), (root, _, _) in self.wanted.items():
            for work, charged in self.told[service, request]:
                answers[service, root].append(work)
                if charged:
                    payers[service, root].add(request)
        wanted = {(service, root) for (service, _), (root, _, _) in self.wanted.items()}
        for (service, root), sales in settled.items():
            if len(sales) > 1:
                self.wrong.append(f"{service} has paid {len(sales)} times for {root}")
            if len(payers[service, root]) > 1:
                self.wrong.append(f"two requests of {service} for {root} were both told a charge")
            if sales and (service, root) not in wanted:
                self.wrong.append(f"{service} has paid for {root}, which it did not want")
            elif sales and not answers[service, root]:
                self.wrong.append(f"{service} has paid for {root} and was never given work for it")

    def summary(self, settled):
        charged_answers = {
            (service, self.wanted[service, request][0])
            for (service, request), told in self.told.items()
            if (service, request) in self.wanted and any(charged for _, charged in told)
        }
        charges = {key for key, sales in settled.items() if sales}
        return {
            "wanted": len(self.wanted),
            "answered": sum(1 for told in self.told.values() if told),
            "charged": len(charges),
            "charged_mc": sum(amount for sales in settled.values() for _, amount in sales),
            # Paid for, but the answer that said so was lost in a crash: all of them were given later, free.
            "healed": len(charges - charged_answers),
            "free": sum(1 for told in self.told.values() if told and not any(charged for _, charged in told)),
        }


def main():
    books = Books()
    for line in sys.stdin:
        ((kind, fields),) = json.loads(line).items()
        if kind == "want":
            books.want(**fields)
        elif kind == "told":
            books.tell(**fields)
        else:
            summary = books.judge(**fields)
            for sentence in books.wrong:
                print(f"wrong: {sentence}")
            print(json.dumps(summary), flush=True)
            return 1 if books.wrong else 0
    print("wrong: the run ended without a judgement")
    return 1


if __name__ == "__main__":
    sys.exit(main())
