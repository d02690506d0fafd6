"""Services of the demo by name."""

import json

from tests.support.client import Client
from tests.support.proxies import client_of, serving


async def ask(client: Client, host: str, line: str, body: bytes = b"") -> tuple[int, bytes]:
    await client.send(
        f"{line} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    answer = await client.answer()
    return answer.status, answer.body


async def test_a_service_whose_port_is_not_its_pods_leads_to_that_of_its_pods() -> None:
    async with serving("--demo", "--port=0", "--service-hosts") as app, client_of(app) as client:
        status, body = await ask(client, "localhost", "GET /api/v1/namespaces/shop/services/web")
        assert status == 200
        service = {
            "metadata": {"name": "other"},
            "spec": {
                "selector": json.loads(body)["spec"]["selector"],
                "ports": [{"port": 8000, "targetPort": 80}],
            },
        }
        made = json.dumps(service).encode()
        status, _ = await ask(client, "localhost", "POST /api/v1/namespaces/shop/services", made)
        assert status == 201
        status, body = await ask(client, "other--shop--demo.localhost", "GET /hello")
        assert status == 200
        assert b"GET /hello" in body
        status, body = await ask(client, "8000--other--shop--demo.localhost", "GET /")
        assert status == 200
        status, body = await ask(client, "5432--db--shop--demo.localhost", "GET /")
        assert status == 502
