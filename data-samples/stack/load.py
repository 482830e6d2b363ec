"""Requests of users for jobs/stack-demo.toml, the same ones at every run.

load.py ADDRESS FIRST USERS REQUESTS: users FIRST to FIRST + USERS - 1, eight at a time, each with that many requests on one
connection. Ends with 1 where a request failed, or was answered by services of different groups.
"""

import http.client
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

ADDRESS, FIRST, USERS, REQUESTS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])


def visit(user):
    seen = []
    connection = http.client.HTTPConnection(ADDRESS, timeout=10)
    for _ in range(REQUESTS):
        connection.request("GET", "/", headers={"x-user": f"user-{user}"})
        answer = connection.getresponse()
        layers = [layer.split()[-1] for layer in answer.read().decode().split(" / ")]
        seen.append((answer.status, layers[0] if len(set(layers)) == 1 else "mixed"))
    connection.close()
    return seen


with ThreadPoolExecutor(8) as pool:
    counts = Counter(one for seen in pool.map(visit, range(FIRST, FIRST + USERS)) for one in seen)
for (status, group), count in sorted(counts.items()):
    print(f"{status} {group}: {count} requests")
sys.exit(any(status != 200 or group == "mixed" for status, group in counts))
