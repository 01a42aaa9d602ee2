#include "driver/scalars.hpp"

#include <cmath>

#include "driver/counter.hpp"

namespace swift_native {
namespace {

float narrow(double value) { return static_cast<float>(value); }

AdamWScalars adamw_scalars(const Options& o, double grad_factor, double step) {
    AdamWScalars s{};
    s.grad_factor = narrow(grad_factor);
    s.decay = narrow(1.0 - o.lr * o.weight_decay);
    s.one_minus_beta1 = narrow(1.0 - o.beta1);
    s.beta2 = narrow(o.beta2);
    s.one_minus_beta2 = narrow(1.0 - o.beta2);
    const double step_size = o.lr / (1.0 - std::pow(o.beta1, step));
    const double root_share = std::sqrt(1.0 - std::pow(o.beta2, step));
    s.step_size = narrow(step_size);
    s.root_scale = narrow(1.0 / root_share);
    s.eps = narrow(o.eps);
    s.beta1 = narrow(o.beta1);
    s.first_factor = narrow(grad_factor * (1.0 - o.beta1));
    s.second_factor = narrow(grad_factor * std::sqrt(1.0 - o.beta2));
    s.fast_step_size = narrow(step_size * root_share);
    s.fast_eps = narrow(o.eps * root_share);
    return s;
}

LionScalars lion_scalars(const Options& o, double grad_factor) {
    LionScalars s{};
    s.grad_factor = narrow(grad_factor);
    s.decay = narrow(1.0 - o.lr * o.weight_decay);
    s.one_minus_beta1 = narrow(1.0 - o.beta1);
    s.one_minus_beta2 = narrow(1.0 - o.beta2);
    s.step_size = narrow(o.lr);
    return s;
}

SgdScalars sgd_scalars(const Options& o, double grad_factor, double step) {
    SgdScalars s{};
    const bool is_first = step <= 1.0;
    s.grad_factor = narrow(grad_factor);
    s.weight_decay = narrow(o.weight_decay);
    s.retained = is_first ? 0.0F : narrow(o.momentum);
    s.taken = is_first ? 1.0F : narrow(1.0 - o.dampening);
    s.from_grad = o.nesterov != 0.0 ? 1.0F : 0.0F;
    s.from_buffer = o.nesterov != 0.0 ? narrow(o.momentum) : 1.0F;
    s.lr = narrow(o.lr);
    return s;
}

}  // namespace

Scalars scalars_at(Rule rule, const Options& options, double grad_factor, double step) {
    Scalars scalars{};
    const double factor = options.maximize != 0.0 ? -grad_factor : grad_factor;
    switch (rule) {
        case Rule::kAdamW:
        case Rule::kMove: scalars.adamw = adamw_scalars(options, factor, step); break;
        case Rule::kLion: scalars.lion = lion_scalars(options, factor); break;
        case Rule::kSgd: scalars.sgd = sgd_scalars(options, factor, step); break;
    }
    const auto seed = static_cast<std::uint64_t>(options.seed);
    const auto number = static_cast<std::uint64_t>(step);
    scalars.origin = counter_origin(seed, number, Purpose::kStep);
    scalars.codes_origin = counter_origin(seed, number, Purpose::kCodes);
    return scalars;
}

}  // namespace swift_native
