"""Draft."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, ndtr, ndtri

from hpsearch.strategies.adaptive import Adaptive


@dataclass
class Knobs:
    gamma: str = "linear"  # linear, sqrt
    gamma_rate: float = 0.15
    gamma_max: int = 25
    bandwidth: str = "optuna"  # optuna, scott
    bw_scale: float = 0.2
    bw_min: float = 0.03
    cat: float = 0.3  # probability mass for others, shrinking
    candidates: int = 24
    weights: str = "uniform"
    full: bool = False
    prior: float = 1.0
    bad_scale: float = 1.0
    maxbad: int = 100000
    endpoints: bool = False
    magic: bool = True
    dmin: float = 0.25
    catmode: str = "x"


class Parzen:
    def __init__(self, enc, rows, weights, knobs, wide=1.0):
        self.dims = enc.dimensions
        self.rows = rows
        n, d = rows.shape
        k = knobs
        self.weights = np.append(weights, k.prior * (weights.mean() if n else 1.0))
        self.weights = self.weights / self.weights.sum()
        self.sigma = np.ones((n, d))
        for j, dim in enumerate(self.dims):
            x = rows[:, j]
            ok = ~np.isnan(x)
            x = x[ok]
            m = len(x)
            if dim.ordered:
                if m == 0:
                    continue
                if k.bandwidth == "optuna":
                    s = np.full(m, k.bw_scale * m ** (-1.0 / (d + 4)))
                elif k.bandwidth == "scott":
                    s = np.full(
                        m,
                        k.bw_scale
                        * 1.06
                        * (x.std() if len(x) > 1 else 0.3)
                        * m ** (-1.0 / (d + 4)),
                    )
                elif k.bandwidth == "near":
                    o = np.argsort(x, kind="stable")
                    xs = x[o]
                    e = np.concatenate([[0.0], xs, [1.0]])
                    ss = np.maximum(e[1:-1] - e[:-2], e[2:] - e[1:-1])
                    if not k.endpoints and m >= 2:
                        ss[0] = e[2] - e[1]
                        ss[-1] = e[-2] - e[-3]
                    s = np.empty(m)
                    s[o] = ss
                    lo = 1.0 / min(100.0, 2.0 + m) if k.magic else k.bw_min
                    s = np.clip(s * k.bw_scale, lo, 1.0)
                s = np.minimum(np.maximum(s * wide, k.bw_min), 1.0)
                if dim.count:
                    s = np.maximum(s, k.dmin / dim.count)
                self.sigma[ok, j] = s
            else:
                if k.catmode == "optuna":
                    s = 1.0 / (m + 2.0) * k.cat
                else:
                    s = min(k.cat * max(m, 1) ** (-1.0 / (d + 4)) * 1.7, 0.8)
                self.sigma[:, j] = min(s, 0.9)
        self.edges = [dim.cells() for dim in self.dims]

    def sample(self, rng, m):
        comp = rng.choice(len(self.weights), size=m, p=self.weights)
        n, d = self.rows.shape
        prior = comp == n
        at = np.minimum(comp, n - 1)
        base = np.where(prior[:, None], np.nan, self.rows[at])
        u = rng.random((m, d))
        v = rng.random((m, d))
        out = np.empty((m, d))
        for j, dim in enumerate(self.dims):
            mu = base[:, j]
            nan = np.isnan(mu)
            s = self.sigma[at, j]
            if dim.ordered:
                mu0 = np.where(nan, 0.5, mu)
                a, b = ndtr((0 - mu0) / s), ndtr((1 - mu0) / s)
                x = mu0 + s * ndtri(np.clip(a + u[:, j] * (b - a), 1e-12, 1 - 1e-12))
                out[:, j] = np.clip(np.where(nan, u[:, j], x), 0, 1)
            else:
                rnd = np.floor(u[:, j] * dim.count)
                out[:, j] = np.where(nan | (v[:, j] < s), rnd, mu)
        return out

    def logpdf(self, cand):
        n, d = self.rows.shape
        m = len(cand)
        total = np.zeros((m, n + 1))
        for j, dim in enumerate(self.dims):
            c = cand[:, j]
            x = self.rows[:, j]
            s = self.sigma[:, j]
            cn, xn = np.isnan(c), np.isnan(x)
            out = np.zeros((m, n + 1))
            if dim.ordered:
                c0, x0 = np.where(cn, 0.5, c), np.where(xn, 0.5, x)
                z = ndtr((1 - x0) / s) - ndtr(-x0 / s)
                e = self.edges[j]
                if e is None:
                    kk = -0.5 * ((c0[:, None] - x0[None]) / s) ** 2 - np.log(
                        s * z * np.sqrt(2 * np.pi)
                    )
                    p = np.zeros(m)
                else:
                    i = np.clip(np.searchsorted(e, c0, side="right") - 1, 0, len(e) - 2)
                    kk = ndtr((e[i + 1][:, None] - x0[None]) / s) - ndtr(
                        (e[i][:, None] - x0[None]) / s
                    )
                    kk = np.log(np.maximum(kk, 1e-300)) - np.log(z)
                    p = np.log(e[i + 1] - e[i])
            else:
                cnt = dim.count
                s0 = s[0] if n else 0.5
                kk = np.where(c[:, None] == x[None], np.log(1 - s0 + s0 / cnt), np.log(s0 / cnt))
                p = np.full(m, -np.log(cnt))
            out[:, :n] = np.where(xn[None], p[:, None], kk)
            out[:, n] = p
            out[cn] = 0
            total += out
        return logsumexp(total + np.log(self.weights), axis=1)


class TPE(Adaptive):
    def __init__(self, space, listed=(), *, goal="minimize", seed=0, initial=10, knobs=None):
        super().__init__(space, listed, goal=goal, seed=seed, initial=initial)
        self.k = knobs or Knobs()

    def suggest(self, random):
        k = self.k
        obs = self.history.observations()
        order = np.argsort(obs.losses, kind="stable")
        finite = int(np.isfinite(obs.losses).sum())
        if finite < 2:
            return None
        n = len(obs.losses)
        if k.gamma == "linear":
            g = int(np.ceil(k.gamma_rate * n))
        else:
            g = int(np.ceil(k.gamma_rate * np.sqrt(n)))
        g = max(1, min(g, k.gamma_max, finite - 1))
        good = obs.rows[order[:g]]
        bad = np.concatenate([obs.rows[order[g:]], obs.pending])
        wb = np.ones(len(bad))
        if k.weights == "uniform":
            wg = np.ones(g)
        elif k.weights == "rank":
            wg = np.log(g + 1) - np.log(np.arange(1, g + 1))
        elif k.weights == "ei":
            l = obs.losses[order]
            wg = np.maximum(l[g] - l[:g], 0)
            wg = wg + 1e-12 if wg.sum() > 0 else np.ones(g)
            wg = wg / wg.mean()
        lo = Parzen(self._encoding, good, wg, k)
        hi = Parzen(self._encoding, bad, wb, k, wide=k.bad_scale)
        table = self.table() if k.full else None
        if table is not None:
            configs, rows = table
            keep = [i for i, c in enumerate(configs) if c not in self.history]
            if not keep:
                return None
            cand = rows[keep]
            cfg = [configs[i] for i in keep]
        else:
            for attempt in range(4):
                raw = lo.sample(random, k.candidates * 2**attempt)
                found = list(self.new_configs(raw))
                if found:
                    break
            else:
                return None
            cfg = [c for _, c in found]
            cand = np.array([self._encoding.row(c) for c in cfg])
        return cfg[int(np.argmax(lo.logpdf(cand) - hi.logpdf(cand)))]
