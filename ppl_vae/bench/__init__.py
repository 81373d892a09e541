"""The clock and the rivals: how fast a step is, beside the same step in other hands.

Every contender is a file of its own and takes the same steps: a minibatch of resident grey levels is picked and
binarized on the device, the loss is the sampled one (no closed-form KL; K draws where the size says so), Adam moves the
parameters, all in float32. They take turns in one process. The modules of the rivals import nothing of ours but the
sizes and minibatches, so that a fresh process can run each alone.
"""
