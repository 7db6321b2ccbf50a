"""Draft GP."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize
from scipy.special import erfcx, ndtr

SQRT5 = np.sqrt(5.0)


@dataclass
class GPKnobs:
    prior: str = "optuna"
    starts: int = 1
    maxiter: int = 50
    noise_min: float = 1e-6


def distances(a, b, cat):
    """(D, n, m) squared differences; categories 0/1."""
    d = a.T[:, :, None] - b.T[:, None, :]
    d[cat] = d[cat] != 0
    d *= d
    return d


class GP:
    def __init__(self, x, y, cat, knobs, alpha=None):
        self.x, self.y, self.cat, self.k = x, y, cat, knobs
        self.alpha_fixed = alpha
        n, d = x.shape
        self.delta = distances(x, x, cat).reshape(d, n * n)
        self._fit()

    def _nll(self, p):
        n, d = self.x.shape
        theta, s, noise = np.exp(p[:d]), np.exp(p[d]), np.exp(p[d + 1]) + self.k.noise_min
        r2 = (theta @ self.delta).reshape(n, n)
        r = np.sqrt(r2)
        e = np.exp(-SQRT5 * r)
        k0 = (1 + SQRT5 * r + 5.0 / 3 * r2) * e
        kd = -(5.0 / 6) * (1 + SQRT5 * r) * e
        K = s * k0
        K[np.diag_indices(n)] += noise
        try:
            L = cholesky(K, lower=True, overwrite_a=True, check_finite=False)
        except LinAlgError:
            return 1e10, np.zeros_like(p)
        a = solve_triangular(L, self.y, lower=True, check_finite=False)
        a = solve_triangular(L, a, lower=True, trans=1, check_finite=False)
        Kinv, _ = dpotri(L, lower=1)
        Kinv = np.tril(Kinv) + np.tril(Kinv, -1).T
        nll = 0.5 * self.y @ a + np.log(np.diag(L)).sum()
        W = Kinv - np.outer(a, a)  # dnll = .5 tr(W dK)
        g = np.empty_like(p)
        g[:d] = 0.5 * s * theta * (self.delta @ (W * kd).ravel())
        g[d] = 0.5 * s * (W * k0).sum()
        g[d + 1] = 0.5 * np.trace(W) * (noise - self.k.noise_min)
        # priors
        if self.k.prior == "optuna":
            nll += (
                (0.1 / theta + 0.1 * theta).sum()
                - (np.log(s) - s)
                - (0.1 * np.log(noise) - 30 * noise)
            )
            g[:d] += -0.1 / theta + 0.1 * theta
            g[d] += -1 + s
            g[d + 1] += (-0.1 / noise + 30) * (noise - self.k.noise_min)
        else:
            # lognormal on length scale l = theta^-1/2 ; log l ~ N(mu, sd)
            mu, sd = self.mu, self.sd
            z = (-0.5 * p[:d] - mu) / sd
            nll += 0.5 * (z * z).sum() - (np.log(s) - s) - (0.1 * np.log(noise) - 30 * noise)
            g[:d] += z / sd * -0.5
            g[d] += -1 + s
            g[d + 1] += (-0.1 / noise + 30) * (noise - self.k.noise_min)
        return nll, g

    def _fit(self):
        n, d = self.x.shape
        self.mu, self.sd = np.log(0.5) + 0.5 * np.log(max(d, 1)) * 0.5, 1.0
        best = None
        for i in range(self.k.starts):
            p0 = np.concatenate(
                [np.full(d, [0.0, 2.0, -1.0][i]), [0.0, np.log([1e-2, 1e-3, 1e-2][i])]]
            )
            bounds = [(-8, 8)] * d + [(-5, 5), (np.log(1e-7), 1)]
            r = minimize(
                self._nll,
                p0,
                jac=True,
                method="L-BFGS-B",
                bounds=bounds,
                options={"maxiter": self.k.maxiter},
            )
            if best is None or r.fun < best.fun:
                best = r
        self.nfev = best.nfev
        p = best.x
        self.theta, self.s, self.noise = (
            np.exp(p[:d]),
            np.exp(p[d]),
            np.exp(p[d + 1]) + self.k.noise_min,
        )
        self._factor()

    def kernel(self, a, b):
        r2 = np.einsum("d,dij->ij", self.theta, distances(a, b, self.cat))
        r = np.sqrt(r2)
        return self.s * (1 + SQRT5 * r + 5 / 3 * r2) * np.exp(-SQRT5 * r)

    def _factor(self):
        n = len(self.x)
        K = self.kernel(self.x, self.x)
        K[np.diag_indices(n)] += self.noise
        self.L = cholesky(K, lower=True, check_finite=False)
        self.a = solve_triangular(self.L, self.y, lower=True, check_finite=False)
        self.a = solve_triangular(self.L, self.a, lower=True, trans=1, check_finite=False)

    def believe(self, pending):
        """Condition on pending rows at their mean."""
        if len(pending):
            mean, _ = self.predict(pending)
            self.x = np.concatenate([self.x, pending])
            self.y = np.concatenate([self.y, mean])
            self._factor()

    def predict(self, q):
        K = self.kernel(q, self.x)
        mean = K @ self.a
        v = solve_triangular(self.L, K.T, lower=True, check_finite=False)
        var = np.maximum(self.s - np.einsum("ij,ij->j", v, v), 1e-12)
        return mean, np.sqrt(var)

    def predict_grad(self, q, free):
        """One point: mean, std and gradients by columns `free` (ordered)."""
        diff = q[None] - self.x
        d2 = diff * diff
        d2[:, self.cat] = diff[:, self.cat] != 0
        r2 = d2 @ self.theta
        r = np.sqrt(r2)
        e = np.exp(-SQRT5 * r)
        k = self.s * (1 + SQRT5 * r + 5 / 3 * r2) * e
        kd = -self.s * (5.0 / 6) * (1 + SQRT5 * r) * e
        J = kd[:, None] * 2 * self.theta[free] * diff[:, free]  # n,f
        mean = k @ self.a
        v = solve_triangular(self.L, k, lower=True, check_finite=False)
        w = solve_triangular(self.L, v, lower=True, trans=1, check_finite=False)
        var = max(self.s - v @ v, 1e-12)
        sd = np.sqrt(var)
        return mean, sd, J.T @ self.a, -(J.T @ w) / sd


def log_h(z):
    """log(phi(z) + z Phi(z))."""
    z = np.asarray(z, float)
    out = np.empty_like(z)
    hi = z > -1
    zh = z[hi]
    out[hi] = np.log(np.exp(-0.5 * zh * zh) / np.sqrt(2 * np.pi) + zh * ndtr(zh))
    zl = z[~hi]
    big = zl < -1e4
    t = np.where(big, 1.0, zl)
    val = np.log1p(np.sqrt(np.pi / 2) * t * erfcx(-t / np.sqrt(2))) if True else None
    val = np.where(big, -2 * np.log(np.abs(zl)), val)
    out[~hi] = -0.5 * zl * zl - 0.5 * np.log(2 * np.pi) + val
    return out


def log_ei(mean, sd, best):
    z = (best - mean) / sd
    return np.log(sd) + log_h(z)
