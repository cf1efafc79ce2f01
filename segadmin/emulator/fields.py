"""The fields of the union schemas. A leaf is a JSON type, then after a colon its format or its items' type."""

from __future__ import annotations

FieldTree = dict[str, "FieldTree | str"]


def _address() -> FieldTree:
    words = (
        "street1 street2 street3 street4 city postalCode state stateProvince region country countryCode label status"
    )
    return {
        **dict.fromkeys(words.split(), "string"),
        "primary": "boolean",
        "lastVerifiedDate": "string:date",
        "_schema": {"latitude": "number", "longitude": "number", "elevation": "number"},
    }


def _email() -> FieldTree:
    return {"address": "string:email", "label": "string", "primary": "boolean", "status": "string", "type": "string"}


def _phone() -> FieldTree:
    return {
        **dict.fromkeys(["number", "extension", "status", "statusReason"], "string"),
        "primary": "boolean",
        "validity": "string",
    }


def _choice() -> FieldTree:
    return {"val": "string", "time": "string:date-time", "reason": "string"}


PROFILE_FIELDS: FieldTree = {
    "_id": "string",
    "identityMap": "object:map",
    "person": {
        "name": dict.fromkeys(["firstName", "middleName", "lastName", "fullName", "courtesyTitle", "suffix"], "string"),
        "birthDate": "string:date",
        "birthDayAndMonth": "string",
        "birthYear": "integer",
        "birthMonth": "integer",
        "gender": "string",
        "maritalStatus": "string",
        "nationality": "string",
        "taxId": "string",
    },
    "personID": "string",
    "personalEmail": _email(),
    "workEmail": _email(),
    "mobilePhone": _phone(),
    "homePhone": _phone(),
    "workPhone": _phone(),
    "faxPhone": _phone(),
    "homeAddress": _address(),
    "billingAddress": _address(),
    "mailingAddress": _address(),
    "preferredLanguage": "string",
    "timeZone": "string",
    "testProfile": "boolean",
    "loyalty": {
        "loyaltyID": "array:string",
        "status": "string",
        "tier": "string",
        "program": "string",
        "points": "number",
        "pointsRedeemed": "number",
        "pointsExpiration": "array",
        "joinDate": "string:date-time",
        "tierExpiryDate": "string:date-time",
        "upgradeDate": "string:date-time",
        "cardType": "string",
        "lifetimePoints": "number",
        "lifetimePurchases": "number",
    },
    "consents": {
        "marketing": {
            **{channel: _choice() for channel in ("any", "email", "push", "sms", "call", "postalMail", "whatsApp")},
            "preferred": "string",
        },
        "personalize": {"any": _choice(), "content": _choice()},
        "collect": {"val": "string"},
        "share": {"val": "string"},
        "adID": {"val": "string", "idType": "string"},
        "metadata": {"time": "string:date-time"},
    },
    "segmentMembership": "object:map",
    "userActivityRegions": "array",
    "pushNotificationDetails": "array",
    "customerAI": {
        "churnScore": "number",
        "churnPercentile": "integer",
        "purchaseScore": "number",
        "purchasePercentile": "integer",
        "scoredAt": "string:date-time",
    },
    "extSourceSystemAudit": {
        "createdBy": "string",
        "createdDate": "string:date-time",
        "externalKey": {"sourceID": "string", "sourceInstanceID": "string", "sourceType": "string"},
        "lastUpdatedBy": "string",
        "lastUpdatedDate": "string:date-time",
        "lastActivityDate": "string:date-time",
    },
    "organizations": "array:string",
    "repositoryCreatedBy": "string",
    "repositoryLastModifiedBy": "string",
}

EVENT_FIELDS: FieldTree = {
    "_id": "string",
    "timestamp": "string:date-time",
    "eventType": "string",
    "producedBy": "string",
    "identityMap": "object:map",
    "receivedTimestamp": "string:date-time",
    "web": {
        "webPageDetails": {
            "URL": "string",
            "name": "string",
            "server": "string",
            "siteSection": "string",
            "isHomePage": "boolean",
            "pageViews": {"value": "number", "id": "string"},
        },
        "webReferrer": {"URL": "string", "type": "string"},
        "webInteraction": {"name": "string", "type": "string", "URL": "string"},
    },
    "commerce": {
        "order": {
            "purchaseID": "string",
            "purchaseOrderNumber": "string",
            "currencyCode": "string",
            "priceTotal": "number",
            "payments": "array",
        },
        "cart": {"cartID": "string"},
        **{
            name: {"value": "number", "id": "string"}
            for name in [
                "productViews",
                "productListAdds",
                "productListRemovals",
                "checkouts",
                "purchases",
                "saveForLaters",
            ]
        },
    },
    "productListItems": "array",
    "device": {
        "type": "string",
        "model": "string",
        "manufacturer": "string",
        "screenHeight": "integer",
        "screenWidth": "integer",
    },
    "environment": {
        "type": "string",
        "operatingSystem": "string",
        "operatingSystemVersion": "string",
        "browserDetails": {"name": "string", "version": "string", "userAgent": "string", "acceptLanguage": "string"},
        "ipV4": "string",
    },
    "placeContext": {
        "localTime": "string:date-time",
        "localTimezoneOffset": "integer",
        "geo": {"countryCode": "string", "city": "string", "postalCode": "string", "stateProvince": "string"},
    },
    "directMarketing": {
        name: {"value": "number", "id": "string"} for name in ["sends", "opens", "clicks", "bounces", "unsubscribes"]
    },
    "marketing": {"campaignName": "string", "trackingCode": "string", "campaignGroup": "string"},
}

_OWN_PROFILE_FIELDS: FieldTree = {
    "crmId": "string",
    "customerNumber": "string",
    "customerSince": "string:date",
    "storeCustomer": "boolean",
    "homeStore": {"id": "string", "name": "string", "distanceKm": "number"},
    "catalogueWanted": "boolean",
    "employee": "boolean",
    "testPerson": "boolean",
    "vatId": "string",
    "voucherShare": "number",
    "app": {"installed": "boolean", "version": "string", "lastOpenedAt": "string:date-time"},
    "affinity": dict.fromkeys(["garden", "kitchen", "fashion", "sports", "toys", "books"], "number"),
    "orders": {
        "count": "integer",
        "totalValue": "number",
        "averageValue": "number",
        "firstOrderDate": "string:date",
        "lastOrderDate": "string:date",
        "returnShare": "number",
    },
    "household": {"id": "string", "size": "integer", "children": "integer", "pets": "boolean"},
}

_OWN_EVENT_FIELDS: FieldTree = {
    "store": {"id": "string", "name": "string"},
    "receipt": {"number": "string", "total": "number", "voucherCode": "string"},
    "searchTerm": "string",
}


def own_fields(union: str) -> FieldTree:
    """What an organization added to the standard schema of a union."""
    return _OWN_PROFILE_FIELDS if union == "profile" else _OWN_EVENT_FIELDS


def leaf_paths(tree: FieldTree, prefix: str = "") -> list[str]:
    """Dotted paths of all leaves."""
    paths: list[str] = []
    for name, node in tree.items():
        path = f"{prefix}{name}"
        paths += leaf_paths(node, f"{path}.") if isinstance(node, dict) else [path]
    return paths
