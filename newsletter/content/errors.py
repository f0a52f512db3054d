"""What keeps a campaign from becoming mail, in words for its editor."""


class ContentError(ValueError):
    """The campaign cannot be sent as it is; `problems` says why, a sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems
