"""A stranger's model in a process of its own, which can reach nothing but the audit's questions.

`worker.Worker` is one such process, `network.WorkerNetwork` the model inside it as a module.
"""
