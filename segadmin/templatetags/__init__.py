"""Template tags and filters of segadmin: `{% load segadmin %}`."""
