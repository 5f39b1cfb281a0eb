"""Stage `learner`: one template, one namespace a method."""
