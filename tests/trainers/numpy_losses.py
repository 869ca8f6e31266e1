"""The losses in NumPy and SciPy, in float64."""

import numpy as np
import scipy.special


def numpy_map(features):
    q = (np.asarray(features, np.float64) ** 2).sum(axis=-1)
    return q.reshape(len(q), -1)


def numpy_attention(students, teachers, form="norm"):
    """Each form of the attention loss as its docstring has it, `[B]`."""
    values = []
    for student, teacher in zip(students, teachers, strict=True):
        q_s, q_t = numpy_map(student), numpy_map(teacher)
        if form == "max_normalised":
            difference = q_s / q_s.max(1)[:, None] - q_t / q_t.max(1)[:, None]
        else:
            norm_s, norm_t = (np.linalg.norm(q, axis=1) for q in (q_s, q_t))
            difference = q_s / norm_s[:, None] - q_t / norm_t[:, None]
        if form == "norm":
            values.append(np.linalg.norm(difference, axis=1))
        else:
            values.append((difference**2).mean(axis=1))
    return np.mean(values, 0) if form == "max_normalised" else np.sum(values, 0)


def numpy_cross_entropy(logits, labels):
    return -(labels * scipy.special.log_softmax(logits, axis=-1)).sum(-1)


def numpy_logit_matching(student, teacher, temperature):
    p, q = (
        scipy.special.softmax(np.asarray(logits, np.float64) / temperature, axis=-1)
        for logits in (teacher, student)
    )
    return temperature**2 * scipy.special.rel_entr(p, q).sum(axis=-1)
