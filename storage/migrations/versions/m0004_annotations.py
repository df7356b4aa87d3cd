"""Annotations: context that people add to what was measured."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the table. It has no triggers: what people add they may also take away."""
    op.create_table(
        "annotations",
        sa.Column(
            "id", sa.String(length=71), nullable=False, comment="SHA-256 of the canonical form."
        ),
        sa.Column(
            "content", sa.Text(), comment="The canonical form, JSON; null: removed, and to stay so."
        ),
        sa.PrimaryKeyConstraint("id", name="pk_annotations"),
        comment="What people added as context: never evidence, never signed, may be removed.",
    )
