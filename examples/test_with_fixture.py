"""A test that needs a Kubernetes API and no cluster: kubelatch brings a pytest fixture.

::

    pytest -p kubelatch examples/test_with_fixture.py
    pytest -p kubelatch examples/test_with_fixture.py --kubelatch-context=staging

``-p kubelatch`` is needed only within this project, whose own tests do without the plugin.
"""

import json
from urllib.request import Request, urlopen

from kubelatch.testing import TestProxy


def test_a_config_map_comes_back(kubelatch: TestProxy) -> None:
    maps = f"{kubelatch.url}/api/v1/namespaces/default/configmaps"
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "example-"}}
    request = Request(maps, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urlopen(request) as response:
        created = json.load(response)
    with urlopen(f"{maps}/{created['metadata']['name']}") as response:
        assert json.load(response)["metadata"]["uid"] == created["metadata"]["uid"]
