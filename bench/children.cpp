// SPDX-License-Identifier: Apache-2.0
// Figures 6 to 9: snapshots that are differences against a parent.
#include "children.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>

#include "snap/restore.h"

namespace bench {

namespace {

constexpr double kMega = 1e6;
constexpr double kGiga = 1e9;
constexpr double kMicro = 1e6;
constexpr const char* kRegion = "ram";

using Bytes = std::vector<std::byte>;

/// A snapshot file, open with its parent.
class Opened {
 public:
  explicit Opened(const std::string& path, snap::Reader* parent = nullptr, std::size_t cache_bytes = 64u << 20)
      : file_(path, O_RDONLY), source_(snap::file_source(file_.fd())) {
    snap::ReaderOptions options;
    options.cache_bytes = cache_bytes;
    options.parent = parent;
    reader_ = must(snap::Reader::open(*source_, options), "opening a snapshot");
  }
  snap::Reader& reader() { return *reader_; }

 private:
  File file_;
  std::unique_ptr<snap::RandomSource> source_;
  std::unique_ptr<snap::Reader> reader_;
};

void write_region(snap::RandomSource& from, snap::Writer& writer) {
  const std::uint64_t bytes = must(from.size(), "reading");
  snap::RegionInfo info;
  info.name = kRegion;
  info.size = bytes;
  must(writer.begin_region(info), "writing");
  must(writer.write_from(from, 0, bytes), "writing");
  must(writer.end_region(), "writing");
  must(writer.finish(), "writing");
}

/// A snapshot of `from` in the file `to`, against `parent` where there is one.
void make_child(snap::RandomSource& from, const std::string& to, const Coding& coding, unsigned threads, snap::Reader* parent) {
  const File file(to, O_WRONLY | O_CREAT | O_TRUNC);
  const auto sink = snap::stream_sink(file.fd());
  snap::WriterOptions options = writer_options(coding, threads);
  std::unique_ptr<snap::ParentPages> pages;
  if (parent != nullptr) {
    snap::ParentPages::Options how;
    how.threads = threads;
    pages = must(snap::ParentPages::index(*parent, how), "indexing the parent");
    options.parent = parent;
    options.parent_pages = pages.get();
  }
  auto writer = must(snap::Writer::create(*sink, options), "creating a writer");
  write_region(from, *writer);
}

void make_child(const std::string& raw, const std::string& to, const Coding& coding, unsigned threads, const std::string& parent) {
  const File input(raw, O_RDONLY);
  const auto source = snap::file_source(input.fd());
  if (parent.empty()) return make_child(*source, to, coding, threads, nullptr);
  Opened opened(parent);
  make_child(*source, to, coding, threads, &opened.reader());
}

Figure size_figure(const std::string& what, double ours, const std::string& peer_name, double peer, std::optional<Target> target) {
  Figure figure{"6", what, "MB", {ours / kMega, ours / kMega, ours / kMega}, peer_name, {peer / kMega, peer / kMega, peer / kMega}};
  figure.result = ours / peer;
  figure.result_unit = "x";
  figure.target = target;
  return figure;
}

/// What differs, packed into blocks and compressed by itself.
struct Alone {
  std::uint64_t pages = 0;
  std::uint64_t bytes = 0;
};
Alone changed_alone(const std::string& parent, const std::string& child, const Coding& coding) {
  std::ifstream a(parent, std::ios::binary);
  std::ifstream b(child, std::ios::binary);
  BareEncoder encoder(coding);
  Bytes block;
  Alone alone;
  const auto flush = [&] {
    if (!block.empty()) alone.bytes += std::min<std::uint64_t>(encoder.encode(block), block.size());
    block.clear();
  };
  std::vector<char> old_page(4096);
  std::vector<char> page(4096);
  const std::vector<char> zeros(4096);
  while (b.read(page.data(), 4096)) {
    if (!a.read(old_page.data(), 4096)) std::fill(old_page.begin(), old_page.end(), 0);
    if (page == old_page) continue;
    ++alone.pages;
    if (page == zeros) continue;
    const auto bytes = std::as_bytes(std::span(page));
    block.insert(block.end(), bytes.begin(), bytes.end());
    if (block.size() == coding.block_bytes) flush();
  }
  flush();
  return alone;
}

struct Pair {
  std::string parent;
  std::string child;
};
std::vector<Pair> pairs_of(const std::string& directory) {
  std::ifstream list(directory + "/pairs.txt");
  if (!list) die("no " + directory + "/pairs.txt: bench/guest/make-pairs.sh makes it");
  std::vector<Pair> pairs;
  for (std::string line; std::getline(list, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    Pair pair;
    if (words >> pair.parent >> pair.child) pairs.push_back(pair);
  }
  return pairs;
}

std::string raw_of(const std::string& directory, const std::string& name) {
  return directory + "/" + name + (name.ends_with(".raw") ? "" : ".raw");
}

void measure_pair(const Setup& setup, const std::string& directory, const Pair& pair) {
  const std::string parent_raw = raw_of(directory, pair.parent);
  const std::string child_raw = raw_of(directory, pair.child);
  warm_file(parent_raw);
  warm_file(child_raw);
  const Coding coding{snap::Codec::kZstd, 3};
  const ScratchFile parent(setup.work, "parent");
  const ScratchFile full(setup.work, "full");
  const ScratchFile child(setup.work, "child");
  const ScratchFile patch(setup.work, "patch");
  make_child(parent_raw, parent.path(), coding, setup.threads, "");
  make_child(child_raw, full.path(), coding, setup.threads, "");
  const std::vector<std::string> zstd{"zstd", "-3", "--long=30", "-q", "-f", "--patch-from=" + parent_raw, child_raw, "-o", patch.path()};
  const auto times = contest({{"child", [&] { return timed([&] { make_child(child_raw, child.path(), coding, setup.threads, parent.path()); }); }},
                              {"patch", [&] { return run_program(zstd, [](int) {}); }}},
                             setup.quick ? 1 : 3);
  const Alone alone = changed_alone(parent_raw, child_raw, coding);
  const double share = static_cast<double>(alone.pages) * 4096 / static_cast<double>(file_bytes(child_raw));
  const bool old_parent = pair.child.find("minute") != std::string::npos;
  const auto size = [](const ScratchFile& file) { return static_cast<double>(file_bytes(file.path())); };
  char changed[32];
  std::snprintf(changed, sizeof changed, " (%.1f %% changed)", share * 100);
  setup.report->add(size_figure(pair.child + changed, size(child), "zstd --patch-from", size(patch), Target{1.0, false}));
  setup.report->add(size_figure(pair.child, size(child), "changed pages alone", static_cast<double>(alone.bytes),
                                Target{old_parent ? 0.92 : 0.82, false}));
  std::optional<Target> of_full;
  if (share <= 0.075) of_full = Target{0.15, false};
  setup.report->add(size_figure(pair.child, size(child), "the full snapshot", size(full), of_full));
  setup.report->add_rate("6", pair.child + " made", static_cast<double>(file_bytes(child_raw)), kMega, "MB/s", times[0], "zstd --patch-from",
                         times[1], Target{4, true});
}

/// Memory with patterns that a codec finds something in, and zeros, where no guest is given.
Bytes made_up_memory(std::size_t bytes) {
  Bytes memory(bytes);
  std::mt19937_64 random(1);
  for (std::size_t at = 0; at < bytes; at += 4096) {
    if (random() % 100 < 55) continue;
    for (std::size_t i = 0; i < 4096; i += 8) {
      const std::uint64_t word = random() % 3 == 0 ? random() : (random() % 64) * 0x0101010101u;
      std::memcpy(memory.data() + at + i, &word, 8);
    }
  }
  return memory;
}

Bytes first_bytes(const std::string& path, std::size_t bytes) {
  if (path.empty()) return made_up_memory(bytes);
  Bytes memory(bytes);
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(memory.data()), static_cast<std::streamsize>(bytes));
  if (static_cast<std::size_t>(file.gcount()) != bytes) die(path + " is smaller than what is to be measured");
  return memory;
}

/// `share` of the pages changed, in runs as a guest changes them: some rewritten with what other pages have in part, some touched.
Bytes changed(Bytes memory, double share, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const std::size_t pages = memory.size() / 4096;
  const auto wanted = static_cast<std::size_t>(static_cast<double>(pages) * share);
  std::vector<bool> done(pages);
  for (std::size_t count = 0; count < wanted;) {
    const std::size_t first = random() % pages;
    const std::size_t run = 1 + random() % 8;
    for (std::size_t page = first; page < std::min(pages, first + run) && count < wanted; ++page) {
      if (done[page]) continue;
      done[page] = true;
      ++count;
      std::byte* const at = memory.data() + page * 4096;
      if (random() % 3 == 0) {
        for (int i = 0; i < 16; ++i) at[random() % 4096] ^= static_cast<std::byte>(1 + random() % 255);
      } else {
        for (std::size_t i = 0; i < 4096; i += 8) {
          const std::uint64_t word = random() % 3 == 0 ? random() : (random() % 64) * 0x0101010101u;
          std::memcpy(at + i, &word, 8);
        }
      }
    }
  }
  return memory;
}

void put_file(const std::string& path, std::span<const std::byte> bytes) { write_file(path, bytes); }

/// All payloads of some files, decoded into memory that has no pages yet: what restoring them costs at least.
class DeltaDecodes {
 public:
  DeltaDecodes(const std::vector<std::string>& paths, const Bytes& base) : base_(base) {
    for (const std::string& path : paths) all_.push_back(load_payloads(path));
  }
  /// Into anonymous memory, packed.
  Sample run(unsigned threads) const {
    return each(threads, [this](const Payloads& delta, BareDecoder& decoder, Bytes& dictionary) {
      std::size_t bytes = 0;
      for (const Payload& payload : delta.blocks) bytes += payload.raw;
      FreshMemory memory(bytes, false);
      std::byte* to = memory.data();
      for (const Payload& payload : delta.blocks) {
        decode(delta, payload, decoder, dictionary, to);
        to += payload.raw;
      }
    });
  }

  /// Each page to its place in a private mapping of the base: whoever shares a base pays a copy of the page on top.
  Sample run_over(int base_fd, unsigned threads) const {
    return each(threads, [this, base_fd](const Payloads& delta, BareDecoder& decoder, Bytes& dictionary) {
      void* const mapped = ::mmap(nullptr, base_.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, base_fd, 0);
      if (mapped == MAP_FAILED) die("cannot map the base");
      auto* const memory = static_cast<std::byte*>(mapped);
      Bytes block(4 << 20);
      for (const Payload& payload : delta.blocks) {
        decode(delta, payload, decoder, dictionary, block.data());
        for (std::size_t at = 0; at < payload.stored_pages.size(); ++at) {
          std::memcpy(memory + payload.stored_pages[at] * 4096, block.data() + at * 4096, 4096);
        }
      }
      ::munmap(mapped, base_.size());
    });
  }

 private:
  template <typename Work>
  Sample each(unsigned threads, Work work) const {
    return timed([&] {
      std::atomic<std::size_t> next{0};
      on_threads(threads, [&](unsigned) {
        BareDecoder decoder;
        Bytes dictionary;
        for (std::size_t i = next++; i < all_.size(); i = next++) work(all_[i], decoder, dictionary);
      });
    });
  }

  void decode(const Payloads& delta, const Payload& payload, BareDecoder& decoder, Bytes& dictionary, std::byte* to) const {
    if (payload.raw == 0) return;
    dictionary.clear();
    if (payload.over_parent) gather(payload, dictionary);
    decoder.decode(payload, delta.bytes.data() + payload.at, to, dictionary);
  }

  void gather(const Payload& payload, Bytes& dictionary) const {
    const auto add = [&](std::uint64_t page, std::size_t count) {
      const auto from = base_.begin() + static_cast<std::ptrdiff_t>(page * 4096);
      dictionary.insert(dictionary.end(), from, from + static_cast<std::ptrdiff_t>(count * 4096));
    };
    for (const std::uint64_t page : payload.named) add(page, 1);
    add(payload.block * payload.block_pages, payload.block_pages);
  }

  const Bytes& base_;
  std::vector<Payloads> all_;
};

class CountingSink final : public snap::ByteSink {
 public:
  snap::Result<void> write(std::span<const std::byte> bytes) override {
    count += bytes.size();
    return {};
  }
  std::uint64_t count = 0;
};

}  // namespace

void measure_pairs(const Setup& setup, const std::string& directory) {
  for (const Pair& pair : pairs_of(directory)) measure_pair(setup, directory, pair);
}

void measure_small_change(const Setup& setup) {
  const std::size_t bytes = setup.guest_bytes != 0 ? static_cast<std::size_t>(setup.guest_bytes) : std::size_t{1} << 30;
  const Bytes base = first_bytes(setup.guest, bytes);
  const Bytes next = changed(base, 0.01, 2);
  const ScratchFile parent(setup.work, "parent");
  {
    const auto source = snap::memory_source(base);
    make_child(*source, parent.path(), {snap::Codec::kZstd, 3}, setup.threads, nullptr);
  }
  Opened opened(parent.path());
  snap::RestoreOptions all;
  all.threads = setup.threads;
  std::unique_ptr<snap::HeldSnapshot> held;
  std::unique_ptr<snap::ParentPages> pages;
  const Sample decode = timed([&] { held = must(snap::hold_in_memory(opened.reader(), all), "holding the parent"); });
  const Sample index = timed([&] {
    snap::ParentPages::Options how;
    how.threads = setup.threads;
    pages = must(snap::ParentPages::index(*held, how), "indexing the parent");
  });
  const auto once = [&](const char* what, const Sample& sample) {
    const Stat stat{sample.wall * 1e3, sample.wall * 1e3, sample.wall * 1e3};
    setup.report->add({"7", what, "ms", stat});
  };
  once("the parent decoded and held, once", decode);
  once("the held parent's pages indexed, once", index);
  const auto theirs = held->held(0);
  for (const Coding coding : {Coding{snap::Codec::kZstd, 3}, Coding{snap::Codec::kLz4, 1}}) {
    const auto make = [&] {
      return timed([&] {
        CountingSink sink;
        snap::WriterOptions options = writer_options(coding, setup.threads);
        options.parent = held.get();
        options.parent_pages = pages.get();
        auto writer = must(snap::Writer::create(sink, options), "creating a writer");
        const auto source = snap::memory_source(next);
        write_region(*source, *writer);
      });
    };
    const auto compare = [&] {
      return timed([&] {
        std::atomic<std::size_t> next_piece{0};
        std::atomic<std::size_t> differ{0};
        constexpr std::size_t kPiece = 512 * 1024;
        on_threads(setup.threads, [&](unsigned) {
          for (std::size_t at = kPiece * next_piece++; at < bytes; at = kPiece * next_piece++) {
            for (std::size_t page = at; page < std::min(bytes, at + kPiece); page += 4096) {
              if (std::memcmp(next.data() + page, theirs.data() + page, 4096) != 0) ++differ;
            }
          }
        });
        if (differ == 0) die("nothing differs");
      });
    };
    const auto times = contest({{"child", make}, {"memcmp", compare}}, setup.rounds);
    setup.report->add_rate("7", "a child of 1 % changed " + coding_name(coding), static_cast<double>(bytes), kGiga, "GB/s", times[0],
                           "memcmp of the two, 2 threads", times[1], Target{0.7, true});
  }
}

void measure_restore_many(const Setup& setup, const RestoreMany& many) {
  const Bytes base = first_bytes(setup.guest, many.bytes);
  for (const Coding coding : {Coding{snap::Codec::kLz4, 1}, Coding{snap::Codec::kZstd, 3}}) {
    const ScratchFile parent(setup.work, "many-base");
    const auto base_source = snap::memory_source(base);
    make_child(*base_source, parent.path(), coding, setup.threads, nullptr);
    std::vector<std::unique_ptr<ScratchFile>> files;
    std::vector<std::string> paths;
    double children_bytes = 0;
    double whole_bytes = 0;
    const ScratchFile whole(setup.work, "many-whole.lz4");
    const ScratchFile raw(setup.work, "many-whole.raw");
    {
      Opened opened(parent.path());
      for (unsigned i = 0; i < many.count; ++i) {
        files.push_back(std::make_unique<ScratchFile>(setup.work, "many-" + std::to_string(i)));
        paths.push_back(files.back()->path());
        const Bytes next = changed(base, many.share, 100 + i);
        const auto source = snap::memory_source(next);
        make_child(*source, paths.back(), coding, setup.threads, &opened.reader());
        children_bytes += static_cast<double>(file_bytes(paths.back()));
        if (i == 0) {
          put_file(raw.path(), next);
          output_of({"lz4", "-1", "-q", "-f", raw.path(), whole.path()});
          whole_bytes = static_cast<double>(file_bytes(whole.path())) * many.count;
        }
      }
    }
    const double ours_bytes = children_bytes + static_cast<double>(file_bytes(parent.path()));

    const auto restore = [&] {
      return timed([&] {
        Opened opened(parent.path());
        snap::RestoreOptions all;
        all.threads = setup.threads;
        const auto held = must(snap::hold_in_memory(opened.reader(), all), "holding the base");
        std::atomic<std::size_t> next{0};
        on_threads(setup.threads, [&](unsigned) {
          snap::RestoreOptions here;
          here.threads = 0;
          for (std::size_t i = next++; i < paths.size(); i = next++) {
            Opened child(paths[i], held.get(), 1u << 20);
            void* const memory = ::mmap(nullptr, many.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, held->memory_fd(0), 0);
            if (memory == MAP_FAILED) die("cannot map the base");
            must(snap::apply_changes(child.reader(), 0, {static_cast<std::byte*>(memory), many.bytes}, here), "applying a child");
            ::munmap(memory, many.bytes);
          }
        });
      });
    };
    const DeltaDecodes deltas(paths, base);
    Setup of_this_size = setup;
    of_this_size.guest_bytes = many.bytes;
    const auto bound = [&] {
      const Sample base_decode = restore_snapshot(of_this_size, parent.path(), false);
      const Sample delta_decode = deltas.run(setup.threads);
      return Sample{base_decode.wall + delta_decode.wall, base_decode.cpu + delta_decode.cpu};
    };
    Opened held_base(parent.path());
    snap::RestoreOptions all;
    all.threads = setup.threads;
    const auto held = must(snap::hold_in_memory(held_base.reader(), all), "holding the base");
    const auto shared_bound = [&] {
      const Sample hold = timed([&] { must(snap::hold_in_memory(held_base.reader(), all), "holding the base"); });
      const Sample delta_decode = deltas.run_over(held->memory_fd(0), setup.threads);
      return Sample{hold.wall + delta_decode.wall, hold.cpu + delta_decode.cpu};
    };
    const auto lz4_once = [&] {
      FreshMemory memory(many.bytes, false);
      return run_program({"lz4", "-dc", "-q", whole.path()}, [&](int fd) {
        std::size_t at = 0;
        while (at < many.bytes) {
          const ssize_t got = ::read(fd, memory.data() + at, many.bytes - at);
          if (got <= 0) break;
          at += static_cast<std::size_t>(got);
        }
      });
    };
    const auto times = contest({{"ours", restore}, {"bound", bound}, {"lz4", lz4_once}, {"shared", shared_bound}}, setup.quick ? 3 : setup.rounds);
    const std::string name = std::to_string(many.count) + " children " + coding_name(coding);
    const auto ms = [](const Stat& stat, double factor) { return scaled(stat, 1e3 * factor); };
    Figure against{"8", name, "ms", ms(times[0].wall, 1), "the base decoded once + " + std::to_string(many.count) + " deltas", ms(times[1].wall, 1)};
    against.result = times[0].wall.median / times[1].wall.median;
    against.result_unit = "x";
    against.target = Target{1.3, false};
    setup.report->add(against);
    Figure shared{"8", name, "ms", ms(times[0].wall, 1), "the same, held and over private mappings", ms(times[3].wall, 1)};
    shared.result = times[0].wall.median / times[3].wall.median;
    shared.result_unit = "x";
    setup.report->add(shared);
    Figure lz4{"8", name, "ms", ms(times[0].wall, 1), std::to_string(many.count) + " x lz4 -dc", ms(times[2].wall, many.count)};
    lz4.result = times[2].wall.median * many.count / times[0].wall.median;
    lz4.result_unit = "x faster";
    lz4.target = Target{10, true};
    setup.report->add(lz4);
    Figure sizes = size_figure("base and " + name, ours_bytes, std::to_string(many.count) + " whole lz4 files", whole_bytes, Target{0.125, false});
    sizes.part = "8";
    setup.report->add(sizes);
  }
}

void measure_chain(const Setup& setup) {
  constexpr unsigned kDepth = 4;
  const std::size_t bytes = 256u << 20;
  Bytes content = first_bytes(setup.guest, bytes);
  for (const Coding coding : {Coding{snap::Codec::kLz4, 1}, Coding{snap::Codec::kZstd, 3}}) {
    Bytes now_content = content;
    std::vector<std::unique_ptr<ScratchFile>> files;
    std::vector<unsigned> times_changed(bytes / 4096);
    const auto add = [&](const Bytes& memory, snap::Reader* parent) {
      files.push_back(std::make_unique<ScratchFile>(setup.work, "chain-" + std::to_string(files.size())));
      const auto source = snap::memory_source(memory);
      make_child(*source, files.back()->path(), coding, setup.threads, parent);
    };
    add(now_content, nullptr);
    for (unsigned depth = 1; depth <= kDepth; ++depth) {
      const Bytes next = changed(now_content, 0.03, depth);
      for (std::size_t page = 0; page < bytes / 4096; ++page) {
        if (std::memcmp(next.data() + page * 4096, now_content.data() + page * 4096, 4096) != 0) ++times_changed[page];
      }
      now_content = next;
      std::vector<std::unique_ptr<Opened>> chain;
      for (const auto& file : files) chain.push_back(std::make_unique<Opened>(file->path(), chain.empty() ? nullptr : &chain.back()->reader()));
      add(now_content, &chain.back()->reader());
    }
    const ScratchFile one(setup.work, "chain-one");
    {
      Opened base(files[0]->path());
      const auto source = snap::memory_source(now_content);
      make_child(*source, one.path(), coding, setup.threads, &base.reader());
    }
    // One page a block, so that no read finds what another has decoded.
    std::vector<std::uint64_t> pages;
    for (std::size_t page = 0; page < times_changed.size(); ++page) {
      if (times_changed[page] != 1) continue;
      pages.push_back(page);
      page |= 15;
    }
    std::mt19937_64 random(9);
    std::shuffle(pages.begin(), pages.end(), random);
    const auto median_read = [&](snap::Reader& reader) {
      alignas(4096) std::byte page[4096];
      std::vector<double> times;
      for (const std::uint64_t at : pages) {
        const double start = now();
        must(reader.read(0, at * 4096, page), "reading a page");
        times.push_back((now() - start) * kMicro);
      }
      return stat_of(std::move(times)).median;
    };
    std::vector<double> deep;
    std::vector<double> shallow;
    for (int round = -1; round < setup.rounds; ++round) {
      std::vector<std::unique_ptr<Opened>> chain;
      for (std::size_t i = 0; i <= kDepth; ++i) {
        chain.push_back(std::make_unique<Opened>(files[i]->path(), chain.empty() ? nullptr : &chain.back()->reader()));
      }
      const double in_chain = median_read(chain.back()->reader());
      Opened base(files[0]->path());
      Opened child(one.path(), &base.reader());
      const double in_one = median_read(child.reader());
      if (round < 0) continue;
      deep.push_back(in_chain);
      shallow.push_back(in_one);
    }
    Figure figure{"9", "4 KiB cold, changed once, depth 4 " + coding_name(coding), "µs", stat_of(deep), "the same at depth 1", stat_of(shallow)};
    figure.result = figure.ours.median / figure.peer.median;
    figure.result_unit = "x";
    figure.target = Target{2, false};
    setup.report->add(figure);
  }
}

}  // namespace bench
