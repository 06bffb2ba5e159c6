// Several figures of one trace in one pass: a piece is unpacked once for all of them.
#pragma once

#include <tuple>
#include <utility>

#include "routing/chunk.hpp"

namespace moescope::routing {

template <class... Figures>
class Together {
 public:
    static constexpr unsigned kWanted = (Figures::kWanted | ...);

    explicit Together(Figures... figures) : figures_(std::move(figures)...) {}

    void add(const Chunk& chunk) {
        std::apply([&](Figures&... figure) { (figure.add(chunk), ...); }, figures_);
    }
    void settle() {
        std::apply([](Figures&... figure) { (settle_one(figure), ...); }, figures_);
    }
    template <class Figure>
    const Figure& get() const {
        return std::get<Figure>(figures_);
    }
    /// Where two of them are of one kind.
    template <std::size_t place>
    const auto& at() const {
        return std::get<place>(figures_);
    }

 private:
    template <class Figure>
    static void settle_one(Figure& figure) {
        if constexpr (requires { figure.settle(); }) {
            figure.settle();
        }
    }

    std::tuple<Figures...> figures_;
};

}  // namespace moescope::routing
