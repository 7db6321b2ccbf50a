"""A training that goes on in a process of its own."""

from trainings import trained

from hpsearch.training.mlps import mlp_trainer


def continued(request, state, epoch, epochs):
    """The epochs from a state on, and the last state."""
    trainer = mlp_trainer(request)
    trainer.resume(epoch, state)
    return trained(trainer, epochs - epoch), trainer.state()
