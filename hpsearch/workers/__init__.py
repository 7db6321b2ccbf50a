"""Where trainings run.

In: jobs and calls.
Out: events: started, epoch finished, answered, lost.
Next: `store`, where the results go.
"""
