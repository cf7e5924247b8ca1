"""L-BFGS on many problems at once, beside algebra and scipy."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import optimize

from attacks.learners.lbfgs import minimise


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def by_autograd(function):
    """An objective for `minimise` from a function of points and rows to values."""

    def objective(points, rows):
        leaf = points.detach().requires_grad_(True)
        values = function(leaf, rows)
        (slope,) = torch.autograd.grad(values.sum(), leaf)
        return values.detach(), slope

    return objective


def rosenbrock(points, scales):
    left, right = points[:, :-1], points[:, 1:]
    return (scales[:, None] * (right - left**2) ** 2 + (1 - left) ** 2).sum(1)


class TestLbfgs:
    GOAL = torch.full((4,), 1e-14, dtype=torch.float64)

    def test_quadratics_end_where_algebra_says(self):
        factors = draw(4, 6, 6, dtype=torch.float64)
        curves = factors @ factors.mT + 0.1 * torch.eye(6, dtype=torch.float64)
        centres = draw(4, 6, seed=1, dtype=torch.float64)

        def value(points, rows):
            gap = points - centres[rows]
            return (gap * torch.einsum("bij,bj->bi", curves[rows], gap)).sum(1)

        start = draw(4, 6, seed=2, dtype=torch.float64)
        points, values = minimise(by_autograd(value), start, updates=200, goal=self.GOAL)
        assert torch.allclose(points, centres, atol=1e-5)
        assert (values <= self.GOAL).all()

    def test_rosenbrock_of_four_kinds_ends_where_scipy_does(self):
        scales = torch.tensor([1.0, 10.0, 50.0, 100.0], dtype=torch.float64)
        start = torch.tensor([-1.2, 1.0], dtype=torch.float64).expand(4, 2)
        objective = by_autograd(lambda points, rows: rosenbrock(points, scales[rows]))
        points, _ = minimise(objective, start, updates=500, goal=self.GOAL)
        for row, scale in enumerate(scales):

            def one(x, scale=scale):
                at = torch.from_numpy(x)[None].requires_grad_(True)
                value = rosenbrock(at, scale[None])
                return value.item(), torch.autograd.grad(value, at)[0][0].numpy()

            wanted = optimize.minimize(one, start[row].numpy(), jac=True, method="L-BFGS-B").x
            assert np.abs(points[row].numpy() - wanted).max() < 1e-3

    def test_a_problem_is_solved_the_same_way_in_any_company(self):
        scales = torch.tensor([1.0, 100.0, 5.0, 30.0], dtype=torch.float64)
        start = draw(4, 5, seed=3, dtype=torch.float64)

        def value(points, rows, broken):
            values = rosenbrock(points, scales[rows])
            return torch.where(torch.isin(rows, broken), values * torch.nan, values)

        def solve(rows, broken=()):
            broken = torch.tensor(broken)
            objective = by_autograd(lambda p, r: value(p, rows[r], broken))
            return minimise(objective, start[rows], updates=30, goal=self.GOAL[rows])

        together, worth = solve(torch.arange(4), broken=[2])
        assert torch.isinf(worth[2])
        for row in (0, 1, 3):
            alone, value_alone = solve(torch.tensor([row]))
            assert torch.allclose(together[row], alone[0])
            assert torch.allclose(worth[row], value_alone[0])

    @pytest.mark.parametrize("history", [1, 3])
    def test_no_update_makes_any_problem_worse(self, history):
        start = draw(4, 5, seed=4, dtype=torch.float64)
        objective = by_autograd(lambda p, rows: rosenbrock(p, torch.full((len(rows),), 20.0)))
        values = [
            minimise(objective, start, updates=n, goal=self.GOAL, history=history)[1]
            for n in range(0, 30, 5)
        ]
        assert all((later <= earlier).all() for earlier, later in pairwise(values))
        assert (values[-1] < 0.1 * values[0]).all()

    def test_walls_of_nan_and_of_infinity_are_not_walked_through(self):
        """log x + 1 / x − 1 is a number for positive x alone; its minimum is 0 at 1."""

        def value(points, rows):
            return (points.log() + 1 / points - 1).sum(1)

        start = torch.tensor([[0.05, 3.0], [0.2, 1.5], [0.01, 0.4], [2.0, 2.0]])
        points, values = minimise(
            by_autograd(value), start, updates=100, goal=torch.full((4,), 1e-9), lr=5.0
        )
        assert torch.isfinite(values).all()
        assert torch.allclose(points, torch.ones_like(points), atol=1e-2)

    def test_a_reached_goal_asks_nothing_more(self):
        asked = []

        def objective(points, rows):
            asked.append(rows.tolist())
            return points.square().sum(1), 2 * points

        start = torch.tensor([[1e-9, 0.0], [3.0, 4.0]])
        minimise(objective, start, updates=50, goal=torch.tensor([1e-6, 1e-6]))
        assert asked[0] == [0, 1]
        assert all(rows == [1] for rows in asked[1:])

    def test_a_problem_that_stalls_is_given_up(self):
        asked = []

        def objective(points, rows):
            asked.append(rows.tolist())
            # a slope that promises next to nothing, and a valley
            flat = rows == 0
            values = torch.where(flat, 1 + 1e-6 * points.sum(1), points.square().sum(1))
            return values, torch.where(flat[:, None], 1e-6, 2 * points)

        goal = torch.zeros(2, dtype=torch.float64)
        minimise(objective, torch.ones(2, 3, dtype=torch.float64), updates=1000, goal=goal)
        assert max(sum(rows == [0] for rows in asked), len(asked)) < 150

    def test_a_flat_gradient_is_an_end_where_no_value_is_one(self):
        asked = []

        def objective(points, rows):
            asked.append(rows.tolist())
            gap = points - 1
            return gap.square().sum(1) - 5, 2 * gap

        start = torch.tensor([[1 + 1e-4, 1.0], [3.0, 4.0]])
        points, values = minimise(objective, start, updates=50, flat=1e-3)
        assert asked[0] == [0, 1]
        assert all(rows == [1] for rows in asked[1:])
        assert len(asked) < 10
        assert torch.allclose(points, torch.ones(2, 2), atol=1e-3)
        assert torch.allclose(values, torch.full((2,), -5.0))

    def test_patience_is_the_callers(self):
        def updates(patience):
            asked = []

            def objective(points, rows):
                asked.append(rows)
                return 1 + rosenbrock(points, torch.full((len(rows),), 100.0)), slope(points)

            def slope(points):
                leaf = points.detach().requires_grad_(True)
                value = rosenbrock(leaf, torch.full((len(leaf),), 100.0))
                return torch.autograd.grad(value.sum(), leaf)[0]

            minimise(objective, torch.tensor([[0.0, 0.0]]), updates=60, patience=patience)
            return len(asked)

        assert updates(patience=3) < updates(patience=60)
