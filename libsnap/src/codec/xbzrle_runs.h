// SPDX-License-Identifier: Apache-2.0
// XBZRLE over a Machine: how 64 bytes are compared and pieces copied with the instructions there are. All of it is in an unnamed
// namespace and without the C++ library: each file that includes this has flags of its own, and must keep to itself what it
// makes.
//
// A Machine has:
// - kTailBytes: how far copy() and patch() may read behind their source, and copy() write behind its target;
// - changed(before, after), of 64 bytes: bit i is set where byte i is another one;
// - find_flips(steps, count, in_run): the rest of `steps` from its first `count` masks; in_run: the byte before changed;
// - copy(to, from, bytes);
// - patch(to, from, bytes): writes `bytes` and not one more.
#pragma once

#include <cstddef>
#include <cstdint>

namespace snap {
namespace {

constexpr std::size_t kLongestRun = 0x3FFF;
constexpr std::size_t kStep = 64;
constexpr std::size_t kStepsAtOnce = 32;  // half a page: while its runs are written, the processor fetches the other half

/// Up to kStepsAtOnce times 64 bytes.
struct alignas(64) Steps {
  std::uint64_t changed[kStepsAtOnce];
  std::uint64_t flips[kStepsAtOnce];              ///< where runs begin and end
  std::uint64_t busy;                             ///< the steps with flips
  std::uint16_t edges[kStep * kStepsAtOnce + 4];  ///< all flips, in bytes from the first step
};

inline void find_flips_one_by_one(Steps& steps, std::size_t count, std::uint64_t in_run) {
  steps.busy = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t changed = steps.changed[i];
    steps.flips[i] = changed ^ (changed << 1 | in_run);
    steps.busy |= std::uint64_t{steps.flips[i] != 0} << i;
    in_run = changed >> 63;
  }
}

/// Bytes behind the end count as unchanged.
template <typename Machine>
std::uint64_t changed_tail(const std::uint8_t* before, const std::uint8_t* after, std::size_t bytes) {
  std::uint8_t a[kStep] = {};
  std::uint8_t b[kStep] = {};
  __builtin_memcpy(a, before, bytes);
  __builtin_memcpy(b, after, bytes);
  return Machine::changed(a, b);
}

/// All are compared before any is looked at: no branch waits for memory, and the processor fetches ahead by itself. (Prefetching
/// by hand only takes the place of that, and is slower.)
template <typename Machine>
void compare(Steps& steps, const std::uint8_t* before, const std::uint8_t* after, std::size_t bytes, std::uint64_t in_run) {
  const std::size_t whole = bytes / kStep;
  for (std::size_t i = 0; i < whole; ++i) steps.changed[i] = Machine::changed(before + i * kStep, after + i * kStep);
  std::size_t count = whole;
  if (bytes % kStep != 0)
    steps.changed[count++] = changed_tail<Machine>(before + whole * kStep, after + whole * kStep, bytes % kStep);
  Machine::find_flips(steps, count, in_run);
}

inline std::size_t list_edges(Steps& steps) {
  constexpr std::uint64_t kLastBit = std::uint64_t{1} << 63;
  std::size_t count = 0;
  for (std::uint64_t busy = steps.busy; busy != 0; busy &= busy - 1) {
    const auto step = static_cast<unsigned>(__builtin_ctzll(busy));
    std::uint64_t flips = steps.flips[step];
    const std::size_t next = count + static_cast<std::size_t>(__builtin_popcountll(flips));
    const auto add = [&](std::size_t i) {
      steps.edges[i] = static_cast<std::uint16_t>(step * kStep + static_cast<unsigned>(__builtin_ctzll(flips | kLastBit)));
      flips &= flips - 1;
    };
    // As many as there mostly are without asking, so that their number is not guessed; those too many are written over.
    add(count);
    add(count + 1);
    add(count + 2);
    add(count + 3);
    for (std::size_t i = count + 4; i < next; ++i) add(i);
    count = next;
  }
  return count;
}

inline std::uint8_t* put_length(std::uint8_t* to, std::size_t length) {
  // ULEB128 without a branch: whether one byte is enough is hard to foretell.
  const std::size_t two = length > 0x7F ? 1 : 0;
  const std::size_t both = length + ((0 - two) & ((length & 0x3F80) + 0x80));
  to[0] = static_cast<std::uint8_t>(both);
  to[1] = static_cast<std::uint8_t>(both >> 8);
  return to + 1 + two;
}

/// Writes pairs of runs.
struct Pairs {
  const std::uint8_t* after;
  std::size_t bytes;
  std::uint8_t* to;
  std::uint8_t* end;
  std::size_t done = 0;

  std::size_t room() const { return static_cast<std::size_t>(end - to); }

  /// The bytes from `begin` up to `stop` changed. False: does not fit.
  template <typename Machine>
  [[gnu::always_inline]] bool put(std::size_t begin, std::size_t stop) {
    const std::size_t equal = begin - done;
    const std::size_t changed = stop - begin;
    done = stop;
    if ((equal | changed) > kLongestRun) return false;
    if (room() < 4 + changed + Machine::kTailBytes || bytes - stop < Machine::kTailBytes)
      return put_tightly(equal, begin, changed);
    to = put_length(put_length(to, equal), changed);
    Machine::copy(to, after + begin, changed);
    to += changed;
    return true;
  }

  /// The checks, and their order, are those of QEMU's encoder.
  bool put_tightly(std::size_t equal, std::size_t begin, std::size_t changed) {
    if (room() < 2) return false;
    to = put_length(to, equal);
    if (room() < 2) return false;
    to = put_length(to, changed);
    if (room() < changed) return false;
    __builtin_memcpy(to, after + begin, changed);
    to += changed;
    return true;
  }
};

template <typename Machine>
std::ptrdiff_t encode_runs(const std::uint8_t* before, const std::uint8_t* after, std::size_t bytes, std::uint8_t* out,
                           std::size_t room) noexcept {
  constexpr std::size_t kAtOnce = kStep * kStepsAtOnce;
  Pairs pairs{after, bytes, out, out + room};
  Steps steps;
  bool in_run = false;    // of changed bytes,
  std::size_t begin = 0;  // which began here
  for (std::size_t at = 0; at < bytes; at += kAtOnce) {
    compare<Machine>(steps, before + at, after + at, bytes - at < kAtOnce ? bytes - at : kAtOnce, in_run ? 1 : 0);
    const std::size_t count = list_edges(steps);
    std::size_t i = 0;
    if (in_run && count != 0) {
      if (!pairs.put<Machine>(begin, at + steps.edges[0])) return -1;
      in_run = false;
      i = 1;
    }
    for (; i + 1 < count; i += 2) {
      if (!pairs.put<Machine>(at + steps.edges[i], at + steps.edges[i + 1])) return -1;
    }
    if (i < count) {
      begin = at + steps.edges[i];
      in_run = true;
    }
  }
  if (in_run && !pairs.put<Machine>(begin, bytes)) return -1;
  if (pairs.done < bytes && pairs.room() < 2) return -1;
  return pairs.to - out;
}

/// False: of more than two bytes. Two can be read.
inline bool get_length(const std::uint8_t*& from, std::size_t& length) {
  length = *from++;
  if (length > 0x7F) {
    if (*from > 0x7F) return false;
    length = (length & 0x7F) | static_cast<std::size_t>(*from++) << 7;
  }
  return true;
}

/// Where most of a page will be written: what comes soon, in the page.
inline void fetch_ahead(const std::uint8_t* page, std::size_t left) {
  constexpr std::size_t kAhead = 256;
  if (left <= kAhead + kStep) return;
  __builtin_prefetch(page + kAhead, 1);
  __builtin_prefetch(page + kAhead + kStep, 1);
}

/// The checks, and their order, are those of QEMU's decoder.
template <typename Machine>
bool decode_runs(const std::uint8_t* delta, std::size_t delta_bytes, std::uint8_t* page, std::size_t page_bytes) noexcept {
  const std::uint8_t* const first = delta;
  const std::uint8_t* const end = delta + delta_bytes;
  std::uint8_t* const page_end = page + page_bytes;
  // Runs that lie close, yet not on every cache line, are what a processor does not foresee: without this, a page with a run
  // every 200 bytes takes twice as long on Zen 4.
  const bool dense = delta_bytes > page_bytes / 8;
  for (std::size_t at = 0; dense && at < 256 && at < page_bytes; at += kStep) __builtin_prefetch(page + at, 1);
  while (delta != end) {
    const bool not_first = delta != first;
    std::size_t equal = 0;
    std::size_t changed = 0;
    if (end - delta < 2 || !get_length(delta, equal) || (equal == 0 && not_first)) return false;
    if (equal > static_cast<std::size_t>(page_end - page)) return false;
    page += equal;
    if (end - delta < 2 || !get_length(delta, changed) || changed == 0) return false;
    const auto page_left = static_cast<std::size_t>(page_end - page);
    const auto delta_left = static_cast<std::size_t>(end - delta);
    if (changed > page_left || changed > delta_left) return false;
    if (dense) fetch_ahead(page, page_left);
    if (delta_left - changed >= Machine::kTailBytes) {
      Machine::patch(page, delta, changed);
    } else {
      __builtin_memcpy(page, delta, changed);
    }
    page += changed;
    delta += changed;
  }
  return true;
}

}  // namespace
}  // namespace snap
