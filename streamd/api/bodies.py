"""What all request bodies have in common: nothing unknown in them, and nothing taken for what it is not."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr


class Body(BaseModel):
    """JSON types are meant as they are: "1" is no number, and a misspelt field is an error."""

    model_config = ConfigDict(extra="forbid", strict=True)


def _whole(value: object) -> object:
    """JSON knows no integers: 60.0 is the number 60."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# Last in an Annotated[int, …], or the bounds before it are not described.
WHOLE = BeforeValidator(_whole)
# No control characters, on one line, and on several.
Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$")]
AccountName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{1,31}$", description="what one signs in with")]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="a room's name in every address")]
Lines = Annotated[str, Field(pattern=r"^[^\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]*$")]
# +, the country's code and the number; or a mobile number of mainland China. Separators as people write them.
Phone = Annotated[
    str,
    Field(
        max_length=40,
        pattern=r"^(\+[ ().-]*[1-9]([ ().-]*[0-9]){6,14}[ ().-]*|1([ ().-]*[0-9]){10}[ ().-]*)?$",
        description="a phone number; empty removes it",
    ),
]
# Long enough for any answer to be "wrong", bounded so that nobody has megabytes hashed.
GivenPassword = Annotated[SecretStr, Field(max_length=512)]
NewPassword = Annotated[SecretStr, Field(min_length=8, max_length=128)]
UtcMs = Annotated[int, Field(ge=0, le=4_102_444_800_000, description="milliseconds since the Unix epoch"), WHOLE]
