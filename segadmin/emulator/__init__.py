"""A local stand-in for Adobe Experience Platform that speaks the same HTTP, for demos, training and tests.

It is written from the public description of the API alone, with the standard library alone, and shares no code with
the client, so that a misreading in one of them shows up as a disagreement between the two.
"""
