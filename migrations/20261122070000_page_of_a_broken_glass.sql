-- On a page of their own a person may also start something without the agreement of others, where the policy wants a passkey.
alter table decision_link add column purpose text not null default 'decide' check (purpose in ('decide', 'break_glass'));
alter table decision_link drop constraint decision_link_answer_check;
alter table decision_link add constraint decision_link_answer_check check (
    answer is null or (purpose = 'decide' and answer in ('approve', 'deny'))
    or (purpose = 'break_glass' and answer = 'break_glass' and reason is not null)
);
