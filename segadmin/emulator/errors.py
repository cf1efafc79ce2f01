"""Every error body that Adobe's services are documented to send, and the refusals built from them.

The variety is deliberate: a client meets all of these shapes behind one host name.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from segadmin.emulator.messages import JsonObject, RefusedError, Response, as_json

SHAPES = ("gateway", "problem", "ups", "ups_nested", "profile", "flow", "policy", "wrapped_policy", "ims")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def gateway_body(status: int, message: str, code: str | None = None) -> JsonObject:
    """The API gateway's shape; `error_code` is a string."""
    return {"error_code": code or f"{status}000", "message": message}


def problem_body(status: int, message: str) -> JsonObject:
    """The problem-details look-alike."""
    title = _phrase(status).title().replace(" ", "") + "Error"
    return {"type": "/placeholder/type/uri", "status": status, "title": title, "detail": message}


def ups_body(status: int, message: str, request_id: str = "") -> JsonObject:
    """The profile service's shape: `errors` is an object keyed by HTTP code; the number in `type` may contradict it."""
    return {
        "requestId": request_id,
        "errors": {str(status): [{"code": status, "message": message}]},
        "type": "https://ns.adobe.com/aep/errors/UPLIB-101206-500",
        "title": _phrase(status),
        "status": status,
    }


def ups_nested_body(status: int, message: str, request_id: str = "") -> JsonObject:
    """The same with type, title and status inside `errors`, and the code as a string."""
    return {
        "requestId": request_id,
        "errors": {
            str(status): [{"code": str(status), "message": message}],
            "type": "https://ns.adobe.com/aep/errors/UPLIB-101554-503",
            "title": _phrase(status),
            "status": status,
        },
    }


def profile_body(status: int, message: str, retry_after_ms: int = 500) -> JsonObject:
    """The profile access shape: all values are strings, and it holds the only documented retry hint."""
    return {"message": message, "cause": "", "retryAfterMs": str(retry_after_ms), "statusCode": str(status)}


def flow_body(status: int, message: str) -> JsonObject:
    """The flow service's shape, which does not repeat the status."""
    del status
    return {"errorMessage": message}


def policy_body(status: int, message: str) -> JsonObject:
    """The access policy's shape with its `error-chain`."""
    return {
        "type": f"https://ns.adobe.com/aep/errors/UPAPI-113752-{status}",
        "title": message,
        "status": status,
        "report": {"tenantInfo": {"sandboxName": "", "imsOrgId": ""}, "additionalContext": {}},
        "error-chain": [
            {"serviceId": "UPAPI", "errorCode": f"UPAPI-113752-{status}", "unixTimeStampMs": 1_700_000_000_000}
        ],
    }


def wrapped_policy_body(status: int, message: str) -> JsonObject:
    """The policy shape as a JSON string inside another service's message."""
    return ups_body(status, json.dumps(policy_body(status, message)))


def ims_body(status: int, message: str, error: str = "invalid_client") -> JsonObject:
    """The token endpoint's shape."""
    del status
    return {"error": error, "error_description": message}


_MAKERS: dict[str, Any] = {
    "gateway": gateway_body,
    "problem": problem_body,
    "ups": ups_body,
    "ups_nested": ups_nested_body,
    "profile": profile_body,
    "flow": flow_body,
    "policy": policy_body,
    "wrapped_policy": wrapped_policy_body,
    "ims": ims_body,
}


def error_body(shape: str, status: int, message: str) -> JsonObject:
    """One of SHAPES filled in; KeyError for another name."""
    made: JsonObject = _MAKERS[shape](status, message)
    return made


def refuse(shape: str, status: int, message: str) -> RefusedError:
    """A refusal in one of SHAPES."""
    return RefusedError(as_json(status, error_body(shape, status, message)))


def gateway(status: int, code: str, message: str) -> RefusedError:
    """A gateway refusal with its own code, e.g. 403010."""
    return RefusedError(as_json(status, gateway_body(status, message, code)))


def bare(status: int) -> RefusedError:
    """A refusal without a body: export endpoints document none for 403, 404 and 503."""
    return RefusedError(Response(status))
