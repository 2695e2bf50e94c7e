// SPDX-License-Identifier: Apache-2.0
// The delta codecs over the pages of the papers of 2011: random bytes, of which each so many others a run was changed. All in one
// process on one processor, by its CPU time; encoding reads both pages from memory, decoding works in place over the old one.
#include "delta.h"

#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>

#include "delta_codecs.h"

namespace bench {

const char* const kDeltaUsage =
    "usage: vmsnap-bench delta [--mib N] [--quick] [--rounds N] [--xbzrle-only] [--aligned] [--peer NAME=LIBRARY]... [--json "
    "FILE]\n"
    "\n"
    "  --mib N          so much memory, old and new (2048)\n"
    "  --quick          256 MiB, three rounds\n"
    "  --rounds N       of XBZRLE and its peers (9); the others take a third of them\n"
    "  --xbzrle-only    leaves the other codecs out\n"
    "  --aligned        the new pages lie a power of two behind the old ones, which memory takes badly\n"
    "  --peer NAME=LIB  a shared library with another XBZRLE, such as QEMU's, which exports\n"
    "                     int xbzrle_encode_buffer(uint8_t *old_page, uint8_t *new_page, int page_bytes, uint8_t *out, int "
    "out_bytes);\n"
    "                     int xbzrle_decode_buffer(uint8_t *delta, int delta_bytes, uint8_t *page, int page_bytes);\n"
    "                   both answering -1 where they refuse. Its deltas have to be ours.\n"
    "  --json FILE      the same figures as JSON\n";

namespace {

/// What was published in 2011, of a processor of that time: MB/s, MB/s, per cent.
struct Published {
  double encode;
  double decode;
  double size;
};

struct Scenario {
  const char* name;
  std::size_t step;
  std::size_t run;
  double wanted_encode;  ///< against the best peer
  double wanted_decode;
  std::map<std::string, Published> published;
};

const std::vector<Scenario>& scenarios() {
  static const std::vector<Scenario> all = {
      {"SPARSE",
       1111,
       12,
       1.2,
       1.0,
       {{"XBRLE", {221, 630, 3.08}},
        {"XBZRLE", {2142, 2817, 3.55}},
        {"XOR + LZO", {997, 1462, 2.82}},
        {"XOR + Snappy", {1122, 1225, 6.14}}}},
      {"MEDIUM",
       701,
       33,
       1.2,
       1.0,
       {{"XBRLE", {219, 610, 10.31}},
        {"XBZRLE", {1994, 2809, 8.37}},
        {"XOR + LZO", {820, 1492, 6.34}},
        {"XOR + Snappy", {912, 1189, 9.27}}}},
      {"DENSE",
       203,
       41,
       1.3,
       1.3,
       {{"XBRLE", {212, 553, 41.44}},
        {"XBZRLE", {1666, 2441, 31.92}},
        {"XOR + LZO", {502, 1116, 21.37}},
        {"XOR + Snappy", {426, 953, 22.80}}}},
      {"VERY DENSE",
       121,
       43,
       1.3,
       1.3,
       {{"XBRLE", {208, 486, 72.78}},
        {"XBZRLE", {1730, 2167, 54.92}},
        {"XOR + LZO", {366, 866, 32.29}},
        {"XOR + Snappy", {304, 762, 33.46}}}},
  };
  return all;
}

struct Options {
  std::size_t bytes = std::size_t{2} << 30;
  int rounds = 9;
  bool xbzrle_only = false;
  bool aligned = false;
  std::vector<std::string> peers;
};

/// splitmix64
class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
  }

 private:
  std::uint64_t state_;
};

std::byte* map_memory(std::size_t bytes) {
  void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) die("no memory");
  return static_cast<std::byte*>(memory);
}

/// Old and new pages, and room for their deltas.
class Pages {
 public:
  Pages(std::size_t bytes, bool aligned) : bytes_(bytes) {
    // A distance that is no power of two, unless asked for: such pages keep each other out of the memory's row buffers.
    std::size_t apart = bytes + (std::size_t{1} << 20) + 3 * kDeltaPage;
    if (aligned) {
      for (apart = 1; apart < bytes;) apart *= 2;
    }
    old_ = map_memory(apart + bytes);
    new_ = old_ + apart;
    out_ = map_memory(bytes + bytes / 4);
    Numbers numbers(1);
    for (std::size_t at = 0; at < bytes; at += 8) {
      const std::uint64_t word = numbers.next();
      std::memcpy(old_ + at, &word, 8);
    }
  }

  void make_equal() { std::memcpy(new_, old_, bytes_); }
  void change(const Scenario& scenario) {
    scenario_ = &scenario;
    make_equal();
    saved_.clear();
    Numbers numbers(2);
    each_run([&](std::size_t at) {
      saved_.insert(saved_.end(), old_ + at, old_ + at + scenario.run);
      for (std::size_t i = 0; i < scenario.run; ++i) new_[at + i] = static_cast<std::byte>(numbers.next());
    });
  }
  /// The old pages again, after they were made into the new ones.
  void put_back() {
    const std::byte* from = saved_.data();
    each_run([&](std::size_t at) {
      std::memcpy(old_ + at, from, scenario_->run);
      from += scenario_->run;
    });
  }

  double encode(DeltaCodec& codec) {
    sizes_.resize(bytes_ / codec.block);
    std::size_t to = 0;
    const double start = process_cpu();
    for (std::size_t i = 0; i < sizes_.size(); ++i) {
      const std::size_t bytes = codec.encode(old_ + i * codec.block, new_ + i * codec.block, out_ + to);
      sizes_[i] = static_cast<std::uint32_t>(bytes);
      to += bytes;
    }
    const double seconds = process_cpu() - start;
    encoded_ = to;
    return seconds;
  }
  double decode(DeltaCodec& codec) {
    std::size_t from = 0;
    const double start = process_cpu();
    for (std::size_t i = 0; i < sizes_.size(); ++i) {
      codec.decode(out_ + from, sizes_[i], old_ + i * codec.block);
      from += sizes_[i];
    }
    return process_cpu() - start;
  }
  /// What no encoder does without: reading both.
  double read() const {
    int found = 0;
    const double start = process_cpu();
    for (std::size_t at = 0; at < bytes_; at += kDeltaPage) found |= std::memcmp(old_ + at, new_ + at, kDeltaPage);
    const double seconds = process_cpu() - start;
    if (found != 0) die("equal pages that are not");
    return seconds;
  }
  bool same() const { return std::memcmp(old_, new_, bytes_) == 0; }
  std::size_t encoded() const { return encoded_; }
  std::uint64_t check() const {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < encoded_; ++i) sum = sum * 0x100000001B3u + std::to_integer<std::uint64_t>(out_[i]);
    return sum;
  }

 private:
  template <typename Work>
  void each_run(Work work) {
    for (std::size_t at = 0; at + scenario_->run <= bytes_; at += scenario_->step) work(at);
  }

  std::size_t bytes_;
  std::byte* old_;
  std::byte* new_;
  std::byte* out_;
  const Scenario* scenario_ = nullptr;
  std::vector<std::byte> saved_;
  std::vector<std::uint32_t> sizes_;
  std::size_t encoded_ = 0;
};

struct Outcome {
  std::vector<double> encode_seconds;
  std::vector<double> decode_seconds;
  Stat encode;  ///< MB/s
  Stat decode;
  double size = 0;  ///< per cent
  std::uint64_t check = 0;
};

struct Entry {
  std::unique_ptr<DeltaCodec> codec;
  bool fast = false;  ///< XBZRLE, ours or a peer's
  bool peer = false;
};

/// The codecs in turn, forwards and backwards, after a round that does not count.
std::vector<Outcome> run_scenario(Pages& pages, const std::vector<Entry>& entries, int rounds) {
  std::vector<Outcome> outcomes(entries.size());
  for (int round = -1; round < rounds; ++round) {
    for (std::size_t turn = 0; turn < entries.size(); ++turn) {
      const std::size_t i = round % 2 != 0 ? entries.size() - 1 - turn : turn;
      if (!entries[i].fast && round >= std::max(1, rounds / 3)) continue;
      DeltaCodec& codec = *entries[i].codec;
      const double encode = pages.encode(codec);
      const double decode = pages.decode(codec);
      if (round < 0) {
        if (!pages.same()) die(codec.name + " gives back other pages");
        outcomes[i].size = static_cast<double>(pages.encoded());
        if (entries[i].fast) outcomes[i].check = pages.check();
      } else {
        outcomes[i].encode_seconds.push_back(encode);
        outcomes[i].decode_seconds.push_back(decode);
      }
      pages.put_back();
    }
  }
  return outcomes;
}

const Published* published(const Scenario& scenario, const Entry& entry) {
  const auto found = scenario.published.find(entry.fast && !entry.peer ? "XBZRLE" : entry.codec->name);
  return found == scenario.published.end() ? nullptr : &found->second;
}

void print_scenario(const Scenario& scenario, const std::vector<Entry>& entries, const std::vector<Outcome>& outcomes) {
  std::printf("\n%s: %zu bytes of every %zu\n\n", scenario.name, scenario.run, scenario.step);
  std::printf("| codec | encode MB/s | decode MB/s | size | 2011: encode | decode | size |\n|---|---|---|---|---|---|---|\n");
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const Outcome& outcome = outcomes[i];
    std::printf("| %s | %.0f | %.0f | %.2f %% |", entries[i].codec->name.c_str(), outcome.encode.median, outcome.decode.median,
                outcome.size);
    if (const Published* const old = published(scenario, entries[i])) {
      std::printf(" %.0f | %.0f | %.2f %% |\n", old->encode, old->decode, old->size);
    } else {
      std::printf(" | | |\n");
    }
  }
  std::fflush(stdout);
}

void report_speeds(Report& report, const Scenario& scenario, const Entry& entry, const Outcome& outcome) {
  const std::string what = std::string(scenario.name) + ", " + entry.codec->name;
  const Published* const old = published(scenario, entry);
  const auto add = [&](const char* doing, const char* unit, const Stat& stat, double then) {
    Figure figure{"delta", what + ": " + doing, unit, stat};
    if (old != nullptr) {
      figure.peer_name = "published in 2011";
      figure.peer = {then, then, then};
    }
    report.add(figure);
  };
  add("encode", "MB/s", outcome.encode, old != nullptr ? old->encode : 0);
  add("decode", "MB/s", outcome.decode, old != nullptr ? old->decode : 0);
  add("size", "%", {outcome.size, outcome.size, outcome.size}, old != nullptr ? old->size : 0);
}

/// Ours, the best version, beside the peer that is fastest.
void report_ratios(Report& report, const Scenario& scenario, const std::vector<Entry>& entries,
                   const std::vector<Outcome>& outcomes) {
  std::size_t ours = 0;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].fast && !entries[i].peer) ours = i;
  }
  const auto add = [&](const char* doing, Stat Outcome::*speed, double wanted) {
    const Entry* peer = nullptr;
    Stat best;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (!entries[i].peer || (outcomes[i].*speed).median <= best.median) continue;
      peer = &entries[i];
      best = outcomes[i].*speed;
    }
    if (peer == nullptr) return;
    const Stat& mine = outcomes[ours].*speed;
    const std::string what = scenario.name + (": ratio to " + peer->codec->name) + ", " + doing;
    Figure figure{"delta", what, "MB/s", mine, peer->codec->name, best};
    figure.result = mine.median / best.median;
    figure.result_unit = "×";
    figure.best_ratio = mine.most / best.most;
    figure.target = Target{wanted, true};
    report.add(figure);
    std::printf("\nratio to %s: %s %.2f (best of each %.2f, wanted %.1f)\n", peer->codec->name.c_str(), doing, figure.result,
                *figure.best_ratio, wanted);
  };
  add("encode", &Outcome::encode, scenario.wanted_encode);
  add("decode", &Outcome::decode, scenario.wanted_decode);
}

void demand_same_deltas(const std::vector<Entry>& entries, const std::vector<Outcome>& outcomes) {
  for (std::size_t i = 1; i < entries.size(); ++i) {
    if (entries[i].fast && outcomes[i].check != outcomes[0].check) die(entries[i].codec->name + " writes other deltas");
  }
}

void stay_on_one_processor() {
  cpu_set_t allowed;
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  int last = CPU_SETSIZE - 1;
  while (last > 0 && !CPU_ISSET(last, &allowed)) --last;
  CPU_ZERO(&allowed);
  CPU_SET(last, &allowed);
  ::sched_setaffinity(0, sizeof allowed, &allowed);
}

std::optional<Options> parse(const std::vector<std::string>& words) {
  Options options;
  bool rounds_given = false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const bool more = i + 1 < words.size();
    if (words[i] == "--mib" && more) {
      options.bytes = static_cast<std::size_t>(std::stoul(words[++i])) << 20;
    } else if (words[i] == "--quick") {
      options.bytes = std::size_t{256} << 20;
      if (!rounds_given) options.rounds = 3;
    } else if (words[i] == "--rounds" && more) {
      options.rounds = std::max(1, std::stoi(words[++i]));
      rounds_given = true;
    } else if (words[i] == "--xbzrle-only") {
      options.xbzrle_only = true;
    } else if (words[i] == "--aligned") {
      options.aligned = true;
    } else if (words[i] == "--peer" && more) {
      options.peers.push_back(words[++i]);
    } else {
      return std::nullopt;
    }
  }
  if (options.bytes == 0) return std::nullopt;
  return options;
}

/// XBZRLE first: ours, then its peers.
std::vector<Entry> make_entries(const Options& options) {
  std::vector<Entry> entries;
  for (auto& codec : our_xbzrle()) entries.push_back({std::move(codec), true, false});
  for (const std::string& peer : options.peers) entries.push_back({peer_xbzrle(peer), true, true});
  if (options.xbzrle_only) return entries;
  std::vector<std::string> missing;
  for (auto& codec : other_deltas(missing)) entries.push_back({std::move(codec)});
  for (const std::string& name : missing) std::printf("left out, as this was built without its library: %s\n", name.c_str());
  return entries;
}

void measure_reading(Pages& pages, const Options& options, Report& report) {
  pages.make_equal();
  std::vector<double> seconds;
  for (int round = 0; round < options.rounds; ++round) seconds.push_back(pages.read());
  const Stat speed = rate(static_cast<double>(options.bytes), stat_of(seconds), 1e6);
  std::printf("reading both pages, memcmp: %.0f MB/s\n", speed.median);
  report.add({"delta", "reading both pages, memcmp", "MB/s", speed});
}

}  // namespace

int measure_deltas(const std::vector<std::string>& words, Report& report) {
  const auto options = parse(words);
  if (!options) {
    std::fputs(kDeltaUsage, stderr);
    return 2;
  }
  stay_on_one_processor();
  const std::vector<Entry> entries = make_entries(*options);
  report.machine("memory", std::to_string(options->bytes >> 20) + (options->aligned ? " MiB, a power of two apart" : " MiB"));
  report.machine("rounds", std::to_string(options->rounds));
  Pages pages(options->bytes, options->aligned);
  measure_reading(pages, *options, report);
  for (const Scenario& scenario : scenarios()) {
    pages.change(scenario);
    std::vector<Outcome> outcomes = run_scenario(pages, entries, options->rounds);
    demand_same_deltas(entries, outcomes);
    const auto bytes = static_cast<double>(options->bytes);
    for (std::size_t i = 0; i < entries.size(); ++i) {
      outcomes[i].encode = rate(bytes, stat_of(outcomes[i].encode_seconds), 1e6);
      outcomes[i].decode = rate(bytes, stat_of(outcomes[i].decode_seconds), 1e6);
      outcomes[i].size = 100 * outcomes[i].size / bytes;
    }
    print_scenario(scenario, entries, outcomes);
    for (std::size_t i = 0; i < entries.size(); ++i) report_speeds(report, scenario, entries[i], outcomes[i]);
    report_ratios(report, scenario, entries, outcomes);
  }
  return 0;
}

}  // namespace bench
