// SPDX-License-Identifier: Apache-2.0
// Reads a file in one of several ways, with cold pages where the file system lets go of them, and prints as JSON how long it took
// and how many bytes the page cache had before. `bench/run.sh fuse` has all its contenders read by it.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr const char* kUsage =
    "usage: file-reader sequential [OPTION]... FILE   reads of 1 MiB\n"
    "       file-reader random [OPTION]... FILE       reads of single pages, each once, in an order without sense\n"
    "       file-reader map [OPTION]... FILE          the same pages through a mapping\n"
    "       file-reader load [OPTION]... FILE         reads and mappings of any place and size, for some seconds\n"
    "  --readers N       threads, each with a descriptor of its own; they share the work [1]\n"
    "  --each-whole      sequential: each reads the whole file\n"
    "  --count N         random, map: so many pages [4096]\n"
    "  --apart BYTES     random, map: at most one page of each aligned piece so large [4096]\n"
    "  --data-of FILE    random, map: only pages that are not zero in this file\n"
    "  --in-order        map: from the first to the last\n"
    "  --advice WORD     random, huge: what fadvise or madvise is told; none\n"
    "  --seconds N       load: so long [10]\n"
    "  --seed N          of all that is random [1]\n"
    "  --warm            the whole file is read before\n";
constexpr std::size_t kPage = 4096;
constexpr std::size_t kPiece = 1u << 20;
constexpr std::size_t kMostOfLoad = 4u << 20;

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

struct Options {
  std::string mode;
  std::string path;
  std::string data_of;
  std::string advice = "none";
  unsigned readers = 1;
  std::size_t count = 4096;
  std::size_t apart = kPage;
  std::uint64_t seed = 1;
  double seconds = 10;
  bool each_whole = false;
  bool in_order = false;
  bool warm = false;
};

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "file-reader: %s\n", what.c_str());
  std::exit(1);
}

class File {
 public:
  explicit File(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    struct stat status {};
    if (fd_ < 0 || ::fstat(fd_, &status) != 0) die("cannot open " + path);
    bytes_ = static_cast<std::size_t>(status.st_size);
  }
  ~File() { ::close(fd_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }
  std::size_t bytes() const { return bytes_; }

  void read(std::size_t at, char* to, std::size_t size) const {
    for (std::size_t done = 0; done < size;) {
      const ssize_t got = ::pread(fd_, to + done, size - done, static_cast<off_t>(at + done));
      if (got <= 0) die("a read failed at " + std::to_string(at + done) + ": " + std::strerror(errno));
      done += static_cast<std::size_t>(got);
    }
  }

 private:
  int fd_;
  std::size_t bytes_ = 0;
};

class Mapping {
 public:
  Mapping(const File& file, std::size_t at, std::size_t size) : size_(size) {
    void* const memory = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.fd(), static_cast<off_t>(at));
    if (memory == MAP_FAILED) die("cannot map");
    memory_ = static_cast<const char*>(memory);
  }
  ~Mapping() { ::munmap(const_cast<char*>(memory_), size_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  const char* data() const { return memory_; }
  void advise(const std::string& word) const {
    if (word == "random") ::madvise(const_cast<char*>(memory_), size_, MADV_RANDOM);
    if (word == "huge") ::madvise(const_cast<char*>(memory_), size_, MADV_HUGEPAGE);
  }

 private:
  const char* memory_ = nullptr;
  std::size_t size_;
};

/// Bytes in the page cache.
std::size_t resident(const File& file) {
  const Mapping mapping(file, 0, file.bytes());
  std::vector<unsigned char> pages((file.bytes() + kPage - 1) / kPage);
  if (::mincore(const_cast<char*>(mapping.data()), file.bytes(), pages.data()) != 0) die("mincore");
  return kPage * static_cast<std::size_t>(std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return page & 1; }));
}

void read_all(const File& file, std::size_t at, std::size_t end) {
  std::vector<char> piece(kPiece);
  for (; at < end; at += kPiece) file.read(at, piece.data(), std::min(kPiece, end - at));
}

std::vector<bool> pages_with_data(const Options& options, std::size_t pages) {
  std::vector<bool> filled(pages, true);
  if (options.data_of.empty()) return filled;
  const File truth(options.data_of);
  if (truth.bytes() < pages * kPage) die(options.data_of + " is too short");
  std::vector<char> page(kPage);
  const std::vector<char> zero(kPage);
  for (std::size_t i = 0; i < pages; ++i) {
    truth.read(i * kPage, page.data(), kPage);
    filled[i] = page != zero;
  }
  return filled;
}

std::vector<std::size_t> places(const Options& options, std::size_t bytes) {
  const std::size_t pages = bytes / kPage;
  const std::vector<bool> filled = pages_with_data(options, pages);
  std::mt19937_64 random(options.seed);
  std::vector<std::size_t> all;
  std::vector<std::size_t> candidates;
  const std::size_t group = std::max<std::size_t>(1, options.apart / kPage);
  for (std::size_t first = 0; first < pages; first += group) {
    candidates.clear();
    for (std::size_t i = first; i < std::min(pages, first + group); ++i)
      if (filled[i]) candidates.push_back(i * kPage);
    if (!candidates.empty()) all.push_back(candidates[random() % candidates.size()]);
  }
  std::shuffle(all.begin(), all.end(), random);
  if (all.size() > options.count) all.resize(options.count);
  if (options.in_order) std::sort(all.begin(), all.end());
  return all;
}

/// Runs work(reader) on all threads at once: seconds from their common start to the last one's end.
template <typename Work>
double together(unsigned readers, Work work) {
  Clock::time_point start;
  std::barrier ready(readers, [&]() noexcept { start = Clock::now(); });
  std::vector<std::thread> team;
  for (unsigned i = 0; i < readers; ++i) {
    team.emplace_back([&, i] {
      ready.arrive_and_wait();
      work(i);
    });
  }
  for (std::thread& thread : team) thread.join();
  return seconds_since(start);
}

struct Outcome {
  std::size_t bytes = 0;
  double seconds = 0;
  std::vector<double> latencies;  // µs
};

Outcome run_sequential(const Options& options, const File& file) {
  const std::size_t share = (file.bytes() / options.readers + kPiece - 1) / kPiece * kPiece;
  Outcome outcome;
  outcome.bytes = file.bytes() * (options.each_whole ? options.readers : 1);
  outcome.seconds = together(options.readers, [&](unsigned reader) {
    const File own(options.path);
    const std::size_t begin = options.each_whole ? 0 : reader * share;
    read_all(own, begin, options.each_whole ? file.bytes() : std::min(file.bytes(), begin + share));
  });
  return outcome;
}

Outcome run_pages(const Options& options, const File& file) {
  const std::vector<std::size_t> all = places(options, file.bytes());
  const bool mapped = options.mode == "map";
  std::vector<std::vector<double>> latencies(options.readers);
  Outcome outcome;
  outcome.bytes = all.size() * kPage;
  outcome.seconds = together(options.readers, [&](unsigned reader) {
    const File own(options.path);
    if (!mapped && options.advice == "random") ::posix_fadvise(own.fd(), 0, 0, POSIX_FADV_RANDOM);
    const Mapping mapping(own, 0, own.bytes());
    mapping.advise(options.advice);
    alignas(kPage) char page[kPage];
    for (std::size_t i = reader; i < all.size(); i += options.readers) {
      const Clock::time_point start = Clock::now();
      if (mapped)
        *const_cast<volatile char*>(page) = *const_cast<const volatile char*>(mapping.data() + all[i]);
      else
        own.read(all[i], page, kPage);
      latencies[reader].push_back(seconds_since(start) * 1e6);
    }
  });
  for (const auto& part : latencies) outcome.latencies.insert(outcome.latencies.end(), part.begin(), part.end());
  return outcome;
}

Outcome run_load(const Options& options, const File&) {
  std::atomic<std::size_t> total{0};
  Outcome outcome;
  outcome.seconds = together(options.readers, [&](unsigned reader) {
    const File own(options.path);
    std::mt19937_64 random(options.seed * 1000 + reader);
    std::vector<char> buffer(kMostOfLoad);
    const Clock::time_point start = Clock::now();
    while (seconds_since(start) < options.seconds) {
      const std::size_t at = random() % own.bytes();
      const std::size_t most = std::size_t{1} << (random() % 23);  // small ones as often as large ones
      const std::size_t size = std::min(own.bytes() - at, 1 + random() % std::min(most, kMostOfLoad));
      if (random() % 2 == 0) {
        own.read(at, buffer.data(), size);
      } else {
        const std::size_t first = at / kPage * kPage;
        const Mapping mapping(own, first, at + size - first);
        std::memcpy(buffer.data(), mapping.data() + (at - first), size);
      }
      total += size;
      // The page cache shall not end up with all of it: what is there already asks nothing of the file system.
      if (random() % 64 == 0) ::posix_fadvise(own.fd(), 0, 0, POSIX_FADV_DONTNEED);
    }
  });
  outcome.bytes = total;
  return outcome;
}

Options parse(const std::vector<std::string>& words) {
  Options options;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    const auto value = [&] {
      if (i + 1 == words.size()) die(word + " wants a value");
      return words[++i];
    };
    if (word == "--readers")
      options.readers = static_cast<unsigned>(std::stoul(value()));
    else if (word == "--count")
      options.count = std::stoul(value());
    else if (word == "--apart")
      options.apart = std::stoul(value());
    else if (word == "--data-of")
      options.data_of = value();
    else if (word == "--advice")
      options.advice = value();
    else if (word == "--seconds")
      options.seconds = std::stod(value());
    else if (word == "--seed")
      options.seed = std::stoull(value());
    else if (word == "--each-whole")
      options.each_whole = true;
    else if (word == "--in-order")
      options.in_order = true;
    else if (word == "--warm")
      options.warm = true;
    else if (word.starts_with("-"))
      die("unknown option " + word);
    else if (options.mode.empty())
      options.mode = word;
    else if (options.path.empty())
      options.path = word;
    else
      die("one file only");
  }
  return options;
}

void print(Outcome& outcome, std::size_t before) {
  std::printf("{\"bytes\": %zu, \"seconds\": %.6f, \"resident_before\": %zu", outcome.bytes, outcome.seconds, before);
  std::sort(outcome.latencies.begin(), outcome.latencies.end());
  const std::size_t count = outcome.latencies.size();
  const auto quantile = [&](double share) {
    return outcome.latencies[std::min(count - 1, static_cast<std::size_t>(share * static_cast<double>(count)))];
  };
  if (count != 0)
    std::printf(", \"count\": %zu, \"p50_us\": %.2f, \"p90_us\": %.2f, \"p99_us\": %.2f, \"most_us\": %.2f", count, quantile(0.5),
                quantile(0.9), quantile(0.99), outcome.latencies.back());
  std::puts("}");
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse({argv + 1, argv + argc});
  const auto run = options.mode == "sequential"                        ? run_sequential
                   : options.mode == "random" || options.mode == "map" ? run_pages
                   : options.mode == "load"                            ? run_load
                                                                       : nullptr;
  if (run == nullptr || options.path.empty() || options.readers == 0) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  const File file(options.path);
  if (options.warm)
    read_all(file, 0, file.bytes());
  else
    ::posix_fadvise(file.fd(), 0, 0, POSIX_FADV_DONTNEED);
  const std::size_t before = resident(file);
  Outcome outcome = run(options, file);
  print(outcome, before);
  return 0;
}
