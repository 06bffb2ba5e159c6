// What experts do in the texts of a language or of a kind, beside what they do in all of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/intervals.hpp"
#include "routing/chunk.hpp"

namespace moescope::routing {

/// Specialisation of experts by group of texts: N_iD / N_D, the share of the tokens of group D for which expert i was
/// chosen. Source: OLMoE (arXiv 2409.02060), section 5.3, "domain specialisation". Baselines: k/N, if every expert was
/// chosen alike, and the expert's share over all groups.
///
/// Interval: tokens of one text are alike, so the texts are what was drawn at random, not the tokens. The variance of
/// the ratio is estimated from the texts (linearised: D/(D-1) sum_d (y_d - p n_d)^2 / n^2 over the texts d of the
/// group, y_d of whose n_d tokens chose the expert), and the Wilson interval is made with as many tokens as would vary
/// equally if they were independent (design effect; Franco et al. 2019). With a single text that cannot be estimated:
/// the plain Wilson interval is given then, which is a lower bound, and `by_texts` is false.
class GroupLoad {
 public:
    static constexpr unsigned kWanted = kTokens | kIds;
    enum class By { language, group };

    struct Share {
        std::uint64_t count = 0, of = 0;  ///< N_iD and N_D: tokens
        base::Interval share;
        double overall = 0;    ///< of the tokens of all groups; NaN without any
        double uniform = 0;    ///< k/N
        double effective = 0;  ///< independent tokens that the interval stands for
        bool by_texts = false;
    };

    GroupLoad(const Shape& shape, By by);
    /// Chunks in the order of the trace: a text counts as one as long as its tokens follow each other.
    void add(const Chunk& chunk);

    /// In the order of their coming; the empty name is tokens of which it is not known.
    const std::vector<std::string>& groups() const { return names_; }
    std::size_t texts(std::size_t group) const { return groups_[group].texts + (open_group_ == group ? 1 : 0); }
    std::uint64_t tokens(std::size_t group, std::size_t layer) const;
    /// All experts of a routed layer, [E].
    std::vector<Share> shares(std::size_t group, std::size_t layer) const;
    /// The same for every group, [groups][E]: what all groups share is summed once.
    std::vector<std::vector<Share>> shares_of_all(std::size_t layer) const;
    /// Counts of a layer, [E], for load_metrics() and share_difference().
    std::vector<double> load(std::size_t group, std::size_t layer) const;
    /// Tokens that were not counted, as there were too many groups.
    std::uint64_t left_out() const { return left_out_; }

 private:
    /// Sums over the texts of a group that have ended.
    struct Sums {
        std::vector<double> y, yy, yn;  ///< [R][E]
        std::vector<double> n, nn;      ///< [R]
        std::size_t texts = 0;
    };
    void close();
    Sums with_open(std::size_t group, std::size_t layer) const;
    std::vector<double> overall(std::size_t layer) const;
    std::vector<Share> shares(std::size_t group, std::size_t layer, const std::vector<double>& of_all) const;

    static constexpr std::size_t kNoGroup = static_cast<std::size_t>(-1);

    Shape shape_;
    By by_;
    std::size_t most_groups_;
    std::vector<std::string> names_;
    std::map<std::string, std::size_t> numbers_;
    std::vector<Sums> groups_;
    std::size_t open_group_ = kNoGroup;  ///< of the text that goes on
    std::uint32_t open_document_ = 0;
    std::vector<std::uint32_t> y_;        ///< [R][E], of that text
    std::vector<std::uint64_t> n_;        ///< [R]
    std::vector<std::uint32_t> touched_;  ///< cells of y_ that are not 0
    std::uint64_t left_out_ = 0;
};

}  // namespace moescope::routing
