"""What all request bodies have in common: nothing unknown in them, and nothing taken for what it is not."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class Body(BaseModel):
    """JSON types are meant as they are: "1" is no number, and a misspelt field is an error."""

    model_config = ConfigDict(extra="forbid", strict=True)


# No control characters, on one line.
Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$")]
AccountName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{1,31}$", description="what one signs in with")]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="a room's name in every address")]
# Long enough for any answer to be "wrong", bounded so that nobody has megabytes hashed.
GivenPassword = Annotated[SecretStr, Field(max_length=512)]
NewPassword = Annotated[SecretStr, Field(min_length=8, max_length=128)]
UtcMs = Annotated[int, Field(ge=0, le=4_102_444_800_000, description="milliseconds since the Unix epoch")]
