"""People in JSON."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from streamd.accounts.users import User


class UserView(BaseModel):
    """An account."""

    id: str = Field(description="as in rooms; never changes")
    name: str = Field(description="what one signs in with; never changes")
    display_name: str = Field(description="what others read")
    role: Literal["admin", "host", "assistant", "viewer"] = Field(description="of the account, everywhere")
    disabled: bool
    created_at_ms: int

    @classmethod
    def of(cls, user: User) -> UserView:
        """The view of a known account."""
        return cls.model_validate(
            {
                "id": user.public_id,
                "name": user.name,
                "display_name": user.display_name,
                "role": user.role,
                "disabled": user.disabled_at_ms is not None,
                "created_at_ms": user.created_at_ms,
            }
        )


class SessionView(BaseModel):
    """What one who is signed in holds."""

    access_token: str = Field(description="for `Authorization: Bearer`, and for rooms")
    refresh_token: str = Field(description="good once, for the next pair")
    expires_in_s: int = Field(description="how long the access token is good")
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  # the name of the scheme
    user: UserView
