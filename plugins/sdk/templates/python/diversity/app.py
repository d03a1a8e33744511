"""The diversity budget `my-plugin`: each cycle must hold ideas that leave the leader's backbone."""

import orze_plugin as orze


@orze.export
class Diversity(orze.Diversity):
    def check(self, terms):
        # `[diversity]` of the campaign file, once before the campaign begins.
        for key in terms.options:
            if key not in ("dimension", "minimum"):
                raise orze.Invalid(
                    orze.Problem(
                        "is no option of this budget", key=key, hint="allowed: dimension, minimum"
                    )
                )
        dimension, minimum = options(terms)
        if dimension not in terms.dimensions:
            raise orze.Invalid(
                orze.Problem(
                    f"the space has no dimension `{dimension}`",
                    key="dimension",
                    hint=f"it has {', '.join(terms.dimensions)}",
                )
            )
        if not isinstance(minimum, int) or minimum < 1:
            raise orze.Invalid(
                orze.Problem(f"{minimum!r} is no whole number from 1", key="minimum")
            )

    def assess(self, terms, history, batch):
        dimension, minimum = options(terms)
        if history.leader is None:
            return [None] * len(batch)
        leading = history.leader.configuration.get(dimension)
        elsewhere = sum(idea.get(dimension) != leading for idea in batch)
        # A cycle too small for the minimum need not do more than it can.
        if elsewhere >= min(minimum, len(batch)):
            return [None] * len(batch)
        refusal = (
            f"this cycle has {elsewhere} ideas whose {dimension} is not the leader's ({leading}), "
            f"and needs {minimum}"
        )
        # Those that do leave the leader stay.
        return [refusal if idea.get(dimension) == leading else None for idea in batch]

    def budget(self, terms, history):
        dimension, minimum = options(terms)
        if history.leader is None:
            return []
        leading = history.leader.configuration.get(dimension)
        return [f"At least {minimum} of your ideas must have a {dimension} other than {leading}."]


def options(terms):
    """The dimension that is watched, and how many ideas must leave the leader in it."""
    dimension = orze.text(terms.options, "dimension", "backbone")
    return dimension, orze.integer(terms.options, "minimum", 1)
