"""Runs scim2-tester against the service at argv[1] with the token in the environment, and prints what it found."""

import json
import os
import sys

from httpx2 import Client
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server

headers = {"Authorization": f"Bearer {os.environ['SCIM_TOKEN']}"}
with Client(base_url=sys.argv[1], headers=headers, timeout=60) as http:
    results = check_server(SyncSCIMClient(http))
report = [
    {"title": one.title, "status": one.status.name, "reason": str(one.reason)}
    for one in results
]
print(json.dumps(report))
