// SPDX-License-Identifier: Apache-2.0
// The least that a FUSE server can do: DIR/ram is FILE, answered from memory with no copy of its own. What `bench/run.sh fuse`
// holds the view against; stays in the foreground until it is unmounted or told to end.
#define FUSE_USE_VERSION 312

#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr const char* kUsage =
    "usage: fuse-memory-server [--threads N] [--loop plain|clone|library] [--log FILE] FILE DIR\n"
    "  --loop   N threads that receive and process on one descriptor (plain), libfuse's own loop, or that with a descriptor "
    "each\n"
    "  --log    in the end: time in µs, offset, size, requests in hand, of each read\n";
constexpr fuse_ino_t kRam = 2;
constexpr const char* kName = "ram";
constexpr double kForever = 86400;
constexpr unsigned kMostBytes = 1u << 20;

struct Request {
  double when;
  std::uint64_t offset;
  std::size_t size;
  int in_hand;
};

struct Server {
  const char* memory = nullptr;
  std::size_t bytes = 0;
  bool logging = false;
  std::atomic<int> in_hand{0};
  std::mutex mutex;
  std::vector<Request> log;
};

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "fuse-memory-server: %s\n", what.c_str());
  std::exit(1);
}

Server& server_of(fuse_req_t request) { return *static_cast<Server*>(fuse_req_userdata(request)); }

struct stat attributes(const Server& server, fuse_ino_t node) {
  struct stat status {};
  status.st_ino = node;
  status.st_nlink = node == kRam ? 1 : 2;
  status.st_mode = node == kRam ? S_IFREG | 0444 : S_IFDIR | 0555;
  status.st_size = node == kRam ? static_cast<off_t>(server.bytes) : 0;
  status.st_blocks = status.st_size / 512;
  return status;
}

void on_init(void*, fuse_conn_info* connection) { connection->max_write = kMostBytes; }

void on_lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  if (parent != FUSE_ROOT_ID || std::strcmp(name, kName) != 0) {
    fuse_reply_err(request, ENOENT);
    return;
  }
  fuse_entry_param entry{};
  entry.ino = kRam;
  entry.attr = attributes(server_of(request), kRam);
  entry.attr_timeout = entry.entry_timeout = kForever;
  fuse_reply_entry(request, &entry);
}

void on_getattr(fuse_req_t request, fuse_ino_t node, fuse_file_info*) {
  const struct stat status = attributes(server_of(request), node);
  fuse_reply_attr(request, &status, kForever);
}

void on_open(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
  info->keep_cache = 1;
  fuse_reply_open(request, info);
}

void on_read(fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info*) {
  Server& server = server_of(request);
  if (server.logging) {
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    const double when = static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) * 1e-3;
    const int in_hand = ++server.in_hand;
    const std::lock_guard lock(server.mutex);
    server.log.push_back({when, static_cast<std::uint64_t>(offset), size, in_hand});
  }
  const std::size_t at = std::min(static_cast<std::size_t>(offset), server.bytes);
  fuse_reply_buf(request, server.memory + at, std::min(size, server.bytes - at));
  if (server.logging) --server.in_hand;
}

void on_readdir(fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info*) {
  char entries[256];
  std::size_t used = 0;
  if (offset == 0) {
    const struct stat status = attributes(server_of(request), kRam);
    used = fuse_add_direntry(request, entries, std::min(size, sizeof entries), kName, &status, 1);
  }
  fuse_reply_buf(request, entries, used);
}

void load(Server& server, const char* path) {
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (fd < 0 || ::fstat(fd, &status) != 0 || status.st_size == 0) die(std::string("cannot read ") + path);
  server.bytes = static_cast<std::size_t>(status.st_size);
  void* const memory = ::mmap(nullptr, server.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) die("no memory");
  ::madvise(memory, server.bytes, MADV_HUGEPAGE);
  for (std::size_t done = 0; done < server.bytes;) {
    const ssize_t got = ::read(fd, static_cast<char*>(memory) + done, server.bytes - done);
    if (got <= 0) die(std::string("cannot read ") + path);
    done += static_cast<std::size_t>(got);
  }
  ::close(fd);
  server.memory = static_cast<const char*>(memory);
}

void serve_plainly(fuse_session* session) {
  fuse_buf buffer{};
  while (!fuse_session_exited(session)) {
    const int got = fuse_session_receive_buf(session, &buffer);
    if (got == -EINTR) continue;
    if (got <= 0) break;
    fuse_session_process_buf(session, &buffer);
  }
  std::free(buffer.mem);
}

void serve(fuse_session* session, const std::string& loop, unsigned threads) {
  if (loop == "plain") {
    std::vector<std::thread> team;
    for (unsigned i = 0; i < threads; ++i) team.emplace_back([session] { serve_plainly(session); });
    for (std::thread& thread : team) thread.join();
    return;
  }
  fuse_loop_config* const config = fuse_loop_cfg_create();
  fuse_loop_cfg_set_clone_fd(config, loop == "clone");
  fuse_loop_cfg_set_max_threads(config, threads);
  fuse_loop_cfg_set_idle_threads(config, threads);
  fuse_session_loop_mt(session, config);
  fuse_loop_cfg_destroy(config);
}

void write_log(const Server& server, const std::string& path) {
  std::FILE* const out = std::fopen(path.c_str(), "w");
  if (out == nullptr) die("cannot write " + path);
  for (const Request& request : server.log)
    std::fprintf(out, "%.1f %llu %zu %d\n", request.when - server.log.front().when,
                 static_cast<unsigned long long>(request.offset), request.size, request.in_hand);
  std::fclose(out);
}

}  // namespace

int main(int argc, char** argv) {
  unsigned threads = std::max(2u, std::thread::hardware_concurrency());
  std::string loop = "plain";
  std::string log;
  std::vector<const char*> places;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const bool option = word == "--threads" || word == "--loop" || word == "--log";
    if (option && i + 1 < argc) {
      const std::string value = argv[++i];
      if (word == "--threads") threads = static_cast<unsigned>(std::stoul(value));
      if (word == "--loop") loop = value;
      if (word == "--log") log = value;
    } else {
      places.push_back(argv[i]);
    }
  }
  if (places.size() != 2 || places[0][0] == '-' || threads == 0) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  Server server;
  server.logging = !log.empty();
  load(server, places[0]);

  fuse_lowlevel_ops operations{};
  operations.init = on_init;
  operations.lookup = on_lookup;
  operations.getattr = on_getattr;
  operations.open = on_open;
  operations.read = on_read;
  operations.readdir = on_readdir;
  std::vector<std::string> words = {argv[0], "-o", "ro,fsname=memory,default_permissions"};
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  fuse_args arguments = FUSE_ARGS_INIT(static_cast<int>(pointers.size()), pointers.data());
  fuse_session* const session = fuse_session_new(&arguments, &operations, sizeof operations, &server);
  if (session == nullptr || fuse_set_signal_handlers(session) != 0 || fuse_session_mount(session, places[1]) != 0)
    die("cannot mount");
  serve(session, loop, threads);
  fuse_session_unmount(session);
  fuse_remove_signal_handlers(session);
  fuse_session_destroy(session);
  if (server.logging && !server.log.empty()) write_log(server, log);
  return 0;
}
