"""What goes wrong, and what shows that segadmin takes it well.

fault                                       shown by
 1  401 once                                aep/test_transport (401 once, both ids), actions/test_send (healed)
 2  401 always                              aep/test_transport, faults/test_upstream
 3  403                                     aep/test_transport, faults/test_upstream (with Adobe's request)
 4  404 on a job                            mirror/test_sync (missing), actions/test_cancel
 5  409 on cancel                           actions/test_cancel (tells the real state)
 6  400, 422 on create                      actions/test_send (refused, may be changed)
 7  429 with seconds                        mirror/test_sync, faults/test_upstream (no call before then, page says when)
 8  429 with a date, garbage, 10^9          aep/test_transport
 9  5xx on GET                              aep/test_transport (at most four sends, within the deadline)
10  5xx on POST                             aep/test_transport, actions/test_send, mirror/test_machine
11  connection refused                      aep/test_wire, actions/test_send (surely not sent)
12  connecting takes for ever               faults/test_upstream
13  read timeout on GET                     aep/test_wire, faults/test_upstream (the old list with its age)
14  read timeout on POST, job made          actions/test_send (adopted), mirror/test_machine, faults/test_killed
15  read timeout on POST, no job            actions/test_send (released after the window), mirror/test_machine
16  two candidates                          actions/test_send (wait for a person), mirror/test_machine, mirror/test_late
17  reset in the body                       aep/test_wire, mirror/test_sync
18  truncated body                          aep/test_wire, mirror/test_sync
19  invalid JSON, wrong types, fields       aep/test_types, aep/test_export_jobs, mirror/test_sync (hides no other)
20  HTML with 200                           aep/test_transport, mirror/test_sync
21  error object with 200                   aep/test_transport, mirror/test_sync
22  1 GB, gzip bomb                         aep/test_wire (stopped at the cap, memory measured)
23  slow drip                               aep/test_wire (total deadline)
24  DNS failure                             aep/test_wire, faults/test_upstream (others go on)
25  TLS                                     aep/test_tls
26  redirect                                aep/test_wire (not followed, nothing leaks), mirror/test_sync
27  token service                           aep/test_tokens, mirror/test_tokens (no storm)
28  clocks ten minutes apart                mirror/test_tokens
29  8 processes need a token                faults/test_tokens, faults/test_postgresql (one call)
30  token holder killed                     faults/test_tokens
31  kill -9 before the call                 faults/test_killed
32  kill -9 before the outcome              faults/test_killed, faults/test_web_server
33  the record can't be written             faults/test_no_record_no_call, faults/test_web_server (disk full)
34  SQLite busy                             faults/test_web_server
35  PostgreSQL restarts                     faults/test_postgresql
36  one org hangs                           faults/test_mirror_processes
37  the mirror is dead                      faults/test_mirror_processes
38  two mirrors                             faults/test_mirror_processes
39  double click, Back, resubmit            faults/test_web_server (at once), actions/test_send, mirror/test_machine
40  the job ends before the cancel          actions/test_cancel
42  UPDATE and DELETE on the record         audit/test_record
46  SIGTERM with a request in flight        faults/test_web_server, faults/test_mirror_processes
47  the list changes while it is read       mirror/test_paging

Processes at once that would lock each other out on PostgreSQL: faults/test_postgresql.
"""
