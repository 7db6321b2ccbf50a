"""Draft Bayesian."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_ndtr, ndtri

from hpsearch.strategies.adaptive import Adaptive
from hpsearch.strategies.gp import GP, GPKnobs, log_ei, log_h


@dataclass
class BKnobs:
    warp: str = "halfrank"
    gp: GPKnobs = field(default_factory=GPKnobs)
    ncand: int = 400
    nlocal: int = 200
    rounds: int = 2
    starts: int = 4
    best: str = "observed"
    dead: float = 0.5
    eps: float = 0.0


def warp(losses, how):
    y = losses.copy()
    ok = np.isfinite(y)
    f = y[ok]
    if how == "halfrank" and len(f) > 1:
        med = np.median(f)
        good = f[f < med]
        if len(good):
            sd = np.sqrt(np.mean((good - med) ** 2))
            o = np.argsort(np.argsort(f, kind="stable"), kind="stable")
            # ties share rank
            u, inv, cnt = np.unique(f, return_inverse=True, return_counts=True)
            cum = np.cumsum(cnt) - (cnt + 1) / 2.0
            q = (cum[inv] + 0.5) / len(f)
            f = np.where(f > med, med + sd * ndtri(np.clip(q, 0, 1 - 0.5 / len(f))), f)
    elif how == "clip" and len(f) > 1:
        med, lo = np.median(f), f.min()
        f = np.minimum(f, med + 2 * (med - lo)) if med > lo else f
    f = f - f.mean()
    s = f.std()
    f = f / s if s > 0 else f
    y[ok] = f
    y[~ok] = f.max()
    return y


class Bayesian(Adaptive):
    def __init__(self, space, listed=(), *, goal="minimize", seed=0, initial=10, knobs=None):
        super().__init__(space, listed, goal=goal, seed=seed, initial=initial)
        self.k = knobs or BKnobs()
        self.dims = self._encoding.dimensions
        self.cat = np.array([not d.ordered for d in self.dims], bool)

    def features(self, rows):
        out = rows.copy()
        nan = np.isnan(out)
        out[nan] = np.broadcast_to(np.where(self.cat, -1.0, self.k.dead), out.shape)[nan]
        return out

    def fit(self, obs):
        y = warp(obs.losses, self.k.warp)
        return GP(self.features(obs.rows), y, self.cat, self.k.gp)

    def suggest(self, random):
        obs = self.history.observations()
        if np.isfinite(obs.losses).sum() < 2 or not self.dims:
            return None
        gp = self.fit(obs)
        pend = self.features(obs.pending)
        if self.k.best == "observed":
            best = gp.y.min()
        else:
            best = gp.predict(gp.x)[0].min()
        gp.believe(pend)
        acq = lambda rows: log_ei(*gp.predict(self.features(rows)), best)
        table = self.table()
        if table is not None:
            configs, rows = table
            keep = [i for i, c in enumerate(configs) if c not in self.history]
            if not keep:
                return None
            return configs[keep[int(np.argmax(acq(rows[keep])))]]
        return self.search(random, gp, best, acq, obs)

    def live(self, full):
        """Rows with NaN where dead; only valid ones: (index, row)."""
        rows, keep = [], []
        for i, row in enumerate(full):
            c = self._encoding.config(row)
            if c is not None:
                rows.append(self._encoding.row(c))
                keep.append(i)
        return np.array(rows).reshape(-1, len(self.dims)), keep

    def mutate(self, random, parents, m, scale):
        """Children of full rows."""
        d = len(self.dims)
        out = parents[random.integers(len(parents), size=m)].copy()
        p = np.minimum(1.0, 2.0 / d)
        mask = random.random((m, d)) < p
        mask[np.arange(m), random.integers(d, size=m)] = True
        u = self._encoding.uniform(random.random((m, d)))
        g = out + scale * random.standard_normal((m, d))
        g = np.abs(g)
        g = np.where(g > 1, 2 - g, g).clip(0, 1)
        for j, dim in enumerate(self.dims):
            new = u[:, j] if not dim.ordered else g[:, j]
            out[:, j] = np.where(mask[:, j], new, out[:, j])
        return out

    def search(self, random, gp, best, acq, obs):
        k = self.k
        d = len(self.dims)
        full = self._encoding.uniform(random.random((k.ncand, d)))
        order = np.argsort(obs.losses, kind="stable")[:10]
        top = obs.rows[order].copy()
        fill = self._encoding.uniform(random.random(top.shape))
        top = np.where(np.isnan(top), fill, top)
        pools = [
            full,
            self.mutate(random, top, k.nlocal, 0.1),
            self.mutate(random, top, k.nlocal // 2, 0.02),
        ]
        full = np.concatenate(pools)
        rows, keep = self.live(full)
        full = full[keep]
        if not len(rows):
            return None
        val = acq(rows)
        for r in range(k.rounds):
            o = np.argsort(-val, kind="stable")[:10]
            kids = self.mutate(random, full[o], k.nlocal // 2, [0.05, 0.01][r % 2])
            krows, kk = self.live(kids)
            if len(krows):
                full = np.concatenate([full, kids[kk]])
                rows = np.concatenate([rows, krows])
                val = np.concatenate([val, acq(krows)])
        # gradient refinement
        o = np.argsort(-val, kind="stable")
        cont = np.array([dim.ordered and (dim.count is None or dim.count > 8) for dim in self.dims])
        fin, fv = [], []
        for i in o[: k.starts]:
            free = np.flatnonzero(cont & ~np.isnan(rows[i]))
            if not len(free):
                continue
            base = self.features(rows[i][None])[0]

            def f(z):
                q = base.copy()
                q[free] = z
                m, s, gm, gs = gp.predict_grad(q, free)
                zz = (best - m) / s
                lh = float(log_h(np.array([zz]))[0])
                ph = np.exp(-0.5 * zz * zz - 0.9189385332046727 - lh)
                Ph = np.exp(log_ndtr(zz) - lh)
                return -(np.log(s) + lh), -(ph * gs - Ph * gm) / s

            r = minimize(
                f,
                base[free],
                jac=True,
                method="L-BFGS-B",
                bounds=[(0, 1)] * len(free),
                options={"maxiter": 30},
            )
            new = full[i].copy()
            new[free] = r.x
            fin.append(new)
        if fin:
            nrows, kk = self.live(np.array(fin))
            if len(nrows):
                full = np.concatenate([full, np.array(fin)[kk]])
                val = np.concatenate([val, acq(nrows)])
        o = np.argsort(-val, kind="stable")
        for _, config in self.new_configs(full[o[:200]]):
            return config
        return None
