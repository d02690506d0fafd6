"""Reads the protobuf bodies that kubectl's typed commands send.

``kubectl create``, ``auth can-i`` and ``auth whoami`` of 1.35 and later send protobuf and do not
fall back to JSON. The messages below are the part of k8s.io/api's ``generated.proto`` files that
those commands use. A field that is not listed is refused, never dropped. Answers are JSON.

One line a message: field number, JSON name, type. ``?`` marks a pointer, whose zero is a value;
``[]`` a list, ``{}`` a map from strings.
"""

import base64
import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

from .status import Object, bad_request

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"

_ROLE = "1 metadata ObjectMeta, 2 rules PolicyRule[]"
_BINDING = "1 metadata ObjectMeta, 2 subjects Subject[], 3 roleRef RoleRef"
_ACCESS_REVIEW = (
    "1 metadata ObjectMeta, 2 spec SubjectAccessReviewSpec, 3 status SubjectAccessReviewStatus"
)
_MESSAGES = {
    "Unknown": "1 typeMeta TypeMeta, 2 raw raw, 3 contentEncoding str, 4 contentType str",
    "TypeMeta": "1 apiVersion str, 2 kind str",
    "ObjectMeta": "1 name str, 2 generateName str, 3 namespace str, 4 selfLink str, 5 uid str, "
    "6 resourceVersion str, 7 generation int, 8 creationTimestamp Time, 9 deletionTimestamp Time, "
    "10 deletionGracePeriodSeconds int?, 11 labels str{}, 12 annotations str{}, "
    "13 ownerReferences OwnerReference[], 14 finalizers str[], "
    "17 managedFields ManagedFieldsEntry[]",
    "OwnerReference": "1 kind str, 3 name str, 4 uid str, 5 apiVersion str, 6 controller bool?, "
    "7 blockOwnerDeletion bool?",
    "ManagedFieldsEntry": "1 manager str, 2 operation str, 3 apiVersion str, 4 time Time, "
    "6 fieldsType str, 7 fieldsV1 FieldsV1, 8 subresource str",
    "FieldsV1": "1 raw raw",
    "LabelSelector": "1 matchLabels str{}, 2 matchExpressions LabelSelectorRequirement[]",
    "LabelSelectorRequirement": "1 key str, 2 operator str, 3 values str[]",
    "DeleteOptions": "1 gracePeriodSeconds int?, 2 preconditions Preconditions, "
    "3 orphanDependents bool?, 4 propagationPolicy str?, 5 dryRun str[]",
    "Preconditions": "1 uid str?, 2 resourceVersion str?",
    "Namespace": "1 metadata ObjectMeta, 2 spec NamespaceSpec, 3 status NamespaceStatus",
    "NamespaceSpec": "1 finalizers str[]",
    "NamespaceStatus": "1 phase str",
    "ConfigMap": "1 metadata ObjectMeta, 2 data str{}, 3 binaryData bytes{}, 4 immutable bool?",
    "Secret": "1 metadata ObjectMeta, 2 data bytes{}, 3 type str, 4 stringData str{}, "
    "5 immutable bool?",
    "ServiceAccount": "1 metadata ObjectMeta, 2 secrets ObjectReference[], "
    "3 imagePullSecrets LocalObjectReference[], 4 automountServiceAccountToken bool?",
    "ObjectReference": "1 kind str, 2 namespace str, 3 name str",
    "LocalObjectReference": "1 name str",
    "Service": "1 metadata ObjectMeta, 2 spec ServiceSpec, 3 status ServiceStatus",
    "ServiceSpec": "1 ports ServicePort[], 2 selector str{}, 3 clusterIP str, 4 type str, "
    "5 externalIPs str[], 7 sessionAffinity str, 8 loadBalancerIP str, 10 externalName str, "
    "11 externalTrafficPolicy str, 12 healthCheckNodePort int, 13 publishNotReadyAddresses bool, "
    "17 ipFamilyPolicy str?, 18 clusterIPs str[], 19 ipFamilies str[]",
    "ServicePort": "1 name str, 2 protocol str, 3 port int, 4 targetPort IntOrString, "
    "5 nodePort int, 6 appProtocol str?",
    "ServiceStatus": "1 loadBalancer LoadBalancerStatus",
    "LoadBalancerStatus": "",
    "Deployment": "1 metadata ObjectMeta, 2 spec DeploymentSpec, 3 status DeploymentStatus",
    "DeploymentSpec": "1 replicas int?, 2 selector LabelSelector, 3 template PodTemplateSpec, "
    "4 strategy DeploymentStrategy, 5 minReadySeconds int, 6 revisionHistoryLimit int?, "
    "7 paused bool, 9 progressDeadlineSeconds int?",
    "DeploymentStrategy": "1 type str",
    "DeploymentStatus": "1 observedGeneration int, 2 replicas int, 3 updatedReplicas int, "
    "4 availableReplicas int, 5 unavailableReplicas int, 7 readyReplicas int",
    "PodTemplateSpec": "1 metadata ObjectMeta, 2 spec PodSpec",
    "PodSpec": "2 containers Container[], 3 restartPolicy str, 6 dnsPolicy str, "
    "8 serviceAccountName str, 9 serviceAccount str, 10 nodeName str, 11 hostNetwork bool, "
    "12 hostPID bool, 13 hostIPC bool, 16 hostname str, 17 subdomain str, 19 schedulerName str, "
    "24 priorityClassName str",
    "Container": "1 name str, 2 image str, 3 command str[], 4 args str[], 5 workingDir str, "
    "6 ports ContainerPort[], 7 env EnvVar[], 8 resources ResourceRequirements, "
    "13 terminationMessagePath str, 14 imagePullPolicy str, 16 stdin bool, 17 stdinOnce bool, "
    "18 tty bool, 20 terminationMessagePolicy str",
    "ContainerPort": "1 name str, 2 hostPort int, 3 containerPort int, 4 protocol str, "
    "5 hostIP str",
    "EnvVar": "1 name str, 2 value str",
    "ResourceRequirements": "1 limits Quantity{}, 2 requests Quantity{}",
    "Role": _ROLE,
    "ClusterRole": _ROLE,
    "RoleBinding": _BINDING,
    "ClusterRoleBinding": _BINDING,
    "PolicyRule": "1 verbs str[], 2 apiGroups str[], 3 resources str[], 4 resourceNames str[], "
    "5 nonResourceURLs str[]",
    "Subject": "1 kind str, 2 apiGroup str, 3 name str, 4 namespace str",
    "RoleRef": "1 apiGroup str, 2 kind str, 3 name str",
    "Eviction": "1 metadata ObjectMeta, 2 deleteOptions DeleteOptions",
    "SelfSubjectReview": "1 metadata ObjectMeta, 2 status SelfSubjectReviewStatus",
    "SelfSubjectReviewStatus": "1 userInfo UserInfo",
    "UserInfo": "1 username str, 2 uid str, 3 groups str[], 4 extra ExtraValue{}",
    "ExtraValue": "1 items str[]",
    "TokenRequest": "1 metadata ObjectMeta, 2 spec TokenRequestSpec, 3 status TokenRequestStatus",
    "TokenRequestSpec": "1 audiences str[], 3 boundObjectRef BoundObjectReference, "
    "4 expirationSeconds int?",
    "BoundObjectReference": "1 kind str, 2 apiVersion str, 3 name str, 4 uid str",
    "TokenRequestStatus": "1 token str, 2 expirationTimestamp Time",
    "TokenReview": "1 metadata ObjectMeta, 2 spec TokenReviewSpec, 3 status TokenReviewStatus",
    "TokenReviewSpec": "1 token str, 2 audiences str[]",
    "TokenReviewStatus": "1 authenticated bool, 2 user UserInfo, 3 error str, 4 audiences str[]",
    "CertificateSigningRequest": "1 metadata ObjectMeta, 2 spec CertificateSigningRequestSpec, "
    "3 status CertificateSigningRequestStatus",
    "CertificateSigningRequestSpec": "1 request bytes, 2 username str, 3 uid str, 4 groups str[], "
    "5 usages str[], 6 extra ExtraValue{}, 7 signerName str, 8 expirationSeconds int?",
    "CertificateSigningRequestStatus": "1 conditions CertificateSigningRequestCondition[], "
    "2 certificate bytes",
    "CertificateSigningRequestCondition": "1 type str, 2 reason str, 3 message str, "
    "4 lastUpdateTime Time, 5 lastTransitionTime Time, 6 status str",
    "SubjectAccessReview": _ACCESS_REVIEW,
    "LocalSubjectAccessReview": _ACCESS_REVIEW,
    "SubjectAccessReviewSpec": "1 resourceAttributes ResourceAttributes, "
    "2 nonResourceAttributes NonResourceAttributes, 3 user str, 4 groups str[], "
    "5 extra ExtraValue{}, 6 uid str",
    "SelfSubjectAccessReview": "1 metadata ObjectMeta, 2 spec SelfSubjectAccessReviewSpec, "
    "3 status SubjectAccessReviewStatus",
    "SelfSubjectAccessReviewSpec": "1 resourceAttributes ResourceAttributes, "
    "2 nonResourceAttributes NonResourceAttributes",
    "ResourceAttributes": "1 namespace str, 2 verb str, 3 group str, 4 version str, "
    "5 resource str, 6 subresource str, 7 name str",
    "NonResourceAttributes": "1 path str, 2 verb str",
    "SubjectAccessReviewStatus": "1 allowed bool, 2 reason str, 3 evaluationError str, "
    "4 denied bool",
    "SelfSubjectRulesReview": "1 metadata ObjectMeta, 2 spec SelfSubjectRulesReviewSpec, "
    "3 status SubjectRulesReviewStatus",
    "SelfSubjectRulesReviewSpec": "1 namespace str",
    "SubjectRulesReviewStatus": "3 incomplete bool, 4 evaluationError str",
    "Time": "1 seconds int, 2 nanos int",
    "Quantity": "1 string str",
    "IntOrString": "1 type int, 2 intVal int, 3 strVal str",
}
_VARINT, _BYTES = 0, 2


def decode(body: bytes) -> Object:
    """An object from its protobuf envelope (``runtime.Unknown``).

    Raises:
        StatusError: 400 for what is malformed or not listed above.
    """
    if not body.startswith(_MAGIC):
        raise bad_request("the body does not begin as Kubernetes protobuf does")
    try:
        envelope = _message("Unknown", body[len(_MAGIC) :])
        kind = envelope["typeMeta"]["kind"]
        if kind not in _MESSAGES:
            raise bad_request(f"{kind} is not read from protobuf here; send application/json")
        decoded = _message(kind, envelope.get("raw", b""))
    except (IndexError, KeyError, OSError, OverflowError, ValueError) as error:
        raise bad_request(f"malformed protobuf: {error}") from error
    return {**envelope["typeMeta"], **decoded}


def _message(name: str, data: bytes) -> Object:
    fields = _fields(name)
    result: Object = {}
    for number, value in _read(data):
        if number not in fields:
            raise bad_request(
                f"field {number} of {name} is not read from protobuf here; send application/json"
            )
        key, kind = fields[number]
        if kind.endswith("[]"):
            result.setdefault(key, []).append(_value(kind[:-2], value))
        elif kind.endswith("{}"):
            entry = dict(_read(_value("raw", value)))
            text = _value("str", entry.get(1, b""))
            result.setdefault(key, {})[text] = _value(kind[:-2], entry.get(2, b""))
        else:
            decoded = _value(kind.removesuffix("?"), value)
            if kind.endswith("?") or decoded not in ("", 0, None, {}):
                result[key] = decoded
    return result


def _fields(name: str) -> dict[int, tuple[str, str]]:
    rows = (row.split() for row in _MESSAGES[name].split(", ") if row)
    return {int(number): (key, kind) for number, key, kind in rows}


def _value(kind: str, value: Any) -> Any:
    if isinstance(value, int) is not (kind in {"int", "bool"}):
        raise ValueError(f"a {kind} has the wrong wire type")
    match kind:
        case "str":
            return value.decode()
        case "bytes":
            return base64.b64encode(value).decode()
        case "raw":
            return value
        case "bool":
            return bool(value)
        case "int":
            return value - (1 << 64) if value >> 63 else value
        case "Quantity":
            return _message(kind, value).get("string", "0")
        case "ExtraValue":
            return _message(kind, value).get("items", [])
        case "FieldsV1":
            return json.loads(_message(kind, value).get("raw", b"{}"))
        case "IntOrString":
            either = _message(kind, value)
            return either.get("strVal", "") if either.get("type") else either.get("intVal", 0)
        case "Time":
            seconds = _message(kind, value).get("seconds", -1)
            moment = dt.datetime.fromtimestamp(max(0, seconds), dt.UTC)
            return None if seconds < 0 else moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        case _:
            return _message(kind, value)


def _read(data: bytes) -> Iterator[tuple[int, Any]]:
    """Field numbers and raw values of one message."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        if tag & 7 == _VARINT:
            value, place = _varint(data, place)
            yield tag >> 3, value
        elif tag & 7 == _BYTES:
            size, place = _varint(data, place)
            if place + size > len(data):
                raise ValueError("a field is cut off")
            yield tag >> 3, data[place : place + size]
            place += size
        else:
            raise ValueError(f"wire type {tag & 7} is not used by Kubernetes")


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if not byte & 0x80:
            return value, place
        if shift > 63:
            raise ValueError("a number is too long")
