"""Changing a few values in a kubeconfig's text, and nothing else.

A legacy OIDC provider that rotates its refresh token makes the one in the file useless, so the
new one has to go there. kubectl writes the whole file anew; here comments, order and every
other byte stay.
"""

import json
from collections.abc import Iterator, Mapping

import yaml

from .decode import DecodeError


def set_provider_config(text: str, user: str, values: Mapping[str, str]) -> str:
    """Set keys in ``users[name=user].user.auth-provider.config``.

    Raises:
        DecodeError: the text is no YAML, or has no such place.
    """
    try:
        # The first document, as everywhere; what stands after it is left alone.
        loader = yaml.SafeLoader(text)
        root = loader.get_node() if loader.check_node() else None
    except (yaml.YAMLError, RecursionError):
        raise DecodeError("yaml: it cannot be read any more") from None
    config = _find(root, user)
    edits = list(_edits(config, values))
    for start, end, replacement in sorted(edits, reverse=True):
        text = text[:start] + replacement + text[end:]
    return text


def _edits(config: yaml.MappingNode, values: Mapping[str, str]) -> Iterator[tuple[int, int, str]]:
    """Each edit as (start, end, replacement); a JSON string is a YAML string."""
    nodes = {key.value: value for key, value in config.value}
    first = config.value[0][0].start_mark
    separator = ", " if config.flow_style else "\n" + " " * first.column
    for key, value in values.items():
        node = nodes.get(key)
        if node is not None:
            yield node.start_mark.index, node.end_mark.index, json.dumps(value)
        else:
            entry = f"{json.dumps(key)}: {json.dumps(value)}{separator}"
            yield first.index, first.index, entry


def _find(root: yaml.Node | None, user: str) -> yaml.MappingNode:
    users = _child(root, "users")
    for entry in users.value if isinstance(users, yaml.SequenceNode) else []:
        name = _child(entry, "name")
        if name is not None and name.value == user:
            config = _child(_child(_child(entry, "user"), "auth-provider"), "config")
            if isinstance(config, yaml.MappingNode) and config.value:
                return config
    raise DecodeError(f'there is no auth-provider config of user "{user}"')


def _child(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    # The last of duplicate keys counts, as everywhere in a kubeconfig.
    return next((value for name, value in reversed(node.value) if name.value == key), None)
